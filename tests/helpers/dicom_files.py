"""Made-up DICOM series: of known voxels and places, plain or enhanced, oblique, compressed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    RTStructureSetStorage,
    generate_uid,
)

PATIENT = ("Secret^Person", "MRN4711")
AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
_A, _B = 0.4, -0.3  # a turn about two axes
OBLIQUE = (
    (float(np.cos(_A)), float(np.sin(_A)), 0.0),
    (float(-np.sin(_A) * np.cos(_B)), float(np.cos(_A) * np.cos(_B)), float(np.sin(_B))),
)


def voxels(seed: int = 0, shape: tuple[int, int, int] = (7, 12, 10)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4000, shape).astype(np.uint16)


def _common(seed: str, uid: type[str] | str, sop: str, patient: tuple[str, str]) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = uid, sop
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = uid, sop
    ds.PatientName, ds.PatientID = patient
    ds.PatientBirthDate, ds.PatientSex = "19500101", "O"
    ds.StudyInstanceUID = generate_uid(entropy_srcs=[seed, "study", patient[1]])
    ds.SeriesInstanceUID = generate_uid(entropy_srcs=[seed, "series", patient[1]])
    ds.FrameOfReferenceUID = generate_uid(entropy_srcs=[seed, "frame"])
    ds.StudyID = ds.AccessionNumber = "1"
    ds.SeriesNumber = 3
    ds.StudyDate = ds.ContentDate = ds.SeriesDate = "20200101"
    ds.StudyTime = ds.ContentTime = ds.SeriesTime = "120000"
    ds.ReferringPhysicianName = "Doctor^Hidden"
    ds.Manufacturer = "nobody"
    ds.PositionReferenceIndicator = ""
    return ds


def _pixels(ds: Dataset, array: np.ndarray) -> None:
    ds.Rows, ds.Columns = array.shape[-2:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
    ds.PixelRepresentation = int(array.dtype.kind == "i")
    ds.PixelData = array.tobytes()


def step_of(directions: Any, gap: float) -> np.ndarray:
    return np.cross(*directions) * gap


def write_series(
    folder: Path,
    array: np.ndarray,
    *,
    directions: Any = AXIAL,
    spacing: tuple[float, float] = (0.8, 0.7),
    gap: float = 2.5,
    origin: tuple[float, float, float] = (-30.5, 12.25, 100.0),
    slope: float = 1,
    intercept: float = -1024,
    seed: str = "a",
    patient: tuple[str, str] = PATIENT,
    syntax: str | None = None,
    places: Any = None,
    **more: Any,
) -> Path:
    """Write one file a slice, in an order that says nothing; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    step = step_of(directions, 1.0)
    places = np.arange(len(array)) * gap if places is None else places
    names = np.random.default_rng(5).permutation(len(array))
    for z, plane in enumerate(array):
        sop = generate_uid(entropy_srcs=[seed, patient[1], str(z), str(more)])
        ds = _common(seed, CTImageStorage, sop, patient)
        ds.Modality, ds.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.InstanceNumber = int(names[z]) + 1
        ds.ImageOrientationPatient = [f"{v:.12g}" for d in directions for v in d]
        ds.ImagePositionPatient = [f"{v:.12g}" for v in np.asarray(origin) + places[z] * step]
        ds.PixelSpacing, ds.SliceThickness = list(spacing), gap
        ds.RescaleSlope, ds.RescaleIntercept = slope, intercept
        ds.KVP = ""
        for name, value in more.items():
            setattr(ds, name, value)
        _pixels(ds, plane)
        if syntax:
            ds.compress(syntax)
        ds.save_as(folder / f"IM{names[z]:04d}", enforce_file_format=True)
    return folder


def write_enhanced(
    file: Path,
    array: np.ndarray,
    *,
    directions: Any = OBLIQUE,
    gap: float = 3.0,
    seed: str = "e",
    last_first: bool = True,
) -> Path:
    """Write all slices as the frames of one enhanced MR file."""
    ds = _common(seed, EnhancedMRImageStorage, generate_uid(entropy_srcs=[seed]), PATIENT)
    ds.Modality, ds.InstanceNumber = "MR", 1
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER", "NONE"]
    ds.NumberOfFrames = len(array)
    measures, orientation, values = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.9, 0.6], 2.0  # gaps between slices
    measures.SpacingBetweenSlices = gap
    orientation.ImageOrientationPatient = [f"{v:.12g}" for d in directions for v in d]
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = 0.5, 1, "US"
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelValueTransformationSequence = Sequence([values])
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    index = Dataset()
    index.DimensionIndexPointer, index.FunctionalGroupPointer = 0x00209057, 0x00209111
    index.DimensionOrganizationUID = generate_uid(entropy_srcs=[seed, "d"])
    organisation = Dataset()
    organisation.DimensionOrganizationUID = index.DimensionOrganizationUID
    ds.DimensionOrganizationSequence = Sequence([organisation])
    ds.DimensionIndexSequence = Sequence([index])
    frames = []
    order = list(range(len(array)))[:: -1 if last_first else 1]
    for z in order:
        place, content, frame = Dataset(), Dataset(), Dataset()
        where = np.array([5.0, -7.0, 11.0]) + z * step_of(directions, gap)
        place.ImagePositionPatient = [f"{v:.12g}" for v in where]
        content.StackID, content.InStackPositionNumber = "1", z + 1
        content.DimensionIndexValues = [z + 1]
        frame.PlanePositionSequence = Sequence([place])
        frame.FrameContentSequence = Sequence([content])
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = Sequence(frames)
    _pixels(ds, np.ascontiguousarray(array[order]))
    file.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(file, enforce_file_format=True)
    return file


def write_outlines(file: Path, series: str, structures: dict[str, list[np.ndarray]]) -> Path:
    """Write an RTSTRUCT: structure -> closed outlines (points, 3), mm, left, back, up."""
    ds = _common("rt", RTStructureSetStorage, generate_uid(entropy_srcs=["rt"]), PATIENT)
    ds.Modality, ds.StructureSetLabel = "RTSTRUCT", "drawn"
    of_series, of_study, of_frame = Dataset(), Dataset(), Dataset()
    of_series.SeriesInstanceUID = series
    of_study.RTReferencedSeriesSequence = Sequence([of_series])
    of_frame.RTReferencedStudySequence = Sequence([of_study])
    ds.ReferencedFrameOfReferenceSequence = Sequence([of_frame])
    rois, contours = [], []
    for number, (name, outlines) in enumerate(structures.items(), start=1):
        roi, own = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName = number, name
        own.ReferencedROINumber, parts = number, []
        for points in outlines:
            part = Dataset()
            part.ContourGeometricType = "CLOSED_PLANAR"
            part.NumberOfContourPoints = len(points)
            part.ContourData = [f"{v:.10g}" for v in points.ravel()]
            parts.append(part)
        own.ContourSequence = Sequence(parts)
        rois.append(roi)
        contours.append(own)
    ds.StructureSetROISequence, ds.ROIContourSequence = Sequence(rois), Sequence(contours)
    file.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(file, enforce_file_format=True)
    return file


def patched(file: Path, change: Any) -> None:
    """Change a file's header."""
    ds = pydicom.dcmread(file)
    change(ds)
    ds.save_as(file)
