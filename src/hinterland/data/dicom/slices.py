"""The slices of a DICOM file: one of a plain file, one a frame of an enhanced multi-frame file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from hinterland.data.dicom.files import quiet, read_header
from hinterland.types import HinterlandError

_DIRECTORY = "1.2.840.10008.1.3.10"  # the class of DICOMDIR
Vector = tuple[float, ...]
APART = ("EchoTime", "TemporalPositionIdentifier", "DiffusionBValue", "TriggerTime",
         "AcquisitionNumber", "ImageType")  # fmt: skip
"""What may tell apart several images of one place, the first that does."""


@dataclass(frozen=True)
class Slice:
    """One plane of voxels and where it lies; patients' coordinates are DICOM's (left, back, up).

    Attributes:
        frame: Its number in the file, from 0.
        orientation: Direction cosines along a row, then along a column.
        position: Of the first voxel's centre, mm.
        spacing: Between rows, between columns, mm.
        thickness: What the header says of the distance to the next slice, mm; 0 where nothing.
        slope, intercept: From stored values to those that count (Hounsfield units).
        apart: What may tell it apart from another image of the same place.
    """

    path: Path
    frame: int
    series: str
    modality: str
    shape: tuple[int, int]
    orientation: Vector
    position: Vector
    spacing: Vector
    thickness: float
    slope: float
    intercept: float
    bits: int
    signed: bool
    apart: tuple[str, ...]
    study: str = field(default="", repr=False)
    patient: str = field(default="", repr=False)
    """The patient's ID: names are spelt in several ways. The name only where there is no ID."""


class NoSlice(Exception):
    """A file with voxels from which no slice can be made; says why."""


def slices_of(path: Path) -> list[Slice]:
    """List the slices of a file; none where it holds no image (reports, outlines, plans).

    Args:
        path: A DICOM file.

    Returns:
        The slices, in the order of the frames.

    Raises:
        HinterlandError: The file cannot be read.
        NoSlice: It holds an image without a place, or in colours.
    """
    with quiet():
        return _slices_of(path)


def _slices_of(path: Path) -> list[Slice]:
    header = read_header(path)
    kind = header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID")
    if kind == _DIRECTORY or header.get("Modality") == "SEG":
        return []
    if "SOPClassUID" not in header:
        raise HinterlandError(
            f"{path} breaks off before it says what it holds. Copy it again from its source, or "
            "remove it."
        )
    if "Rows" not in header:
        if "Image Storage" in getattr(kind, "name", ""):
            raise NoSlice("it calls itself an image and holds none; it may be cut off")
        return []
    if int(header.get("SamplesPerPixel", 1)) != 1:
        raise NoSlice("it holds colours; expected one number a voxel")
    if "ModalityLUTSequence" in header:
        raise NoSlice("its values are translated by a table; expected slope and intercept")
    try:
        return [_slice(path, header, n, groups) for n, groups in enumerate(_frames(header))]
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise NoSlice(
            f"it does not say where its voxels lie, or what their values mean ({_lacking(error)})"
        ) from None


def _frames(header: Any) -> Iterator[Sequence[Any]]:
    """Give, for every frame, the places to look for its attributes, the nearest first."""
    count = int(header.get("NumberOfFrames", 1) or 1)
    shared = list(header.get("SharedFunctionalGroupsSequence", []))
    frames = header.get("PerFrameFunctionalGroupsSequence", [])
    if count > 1 and len(frames) != count:
        raise ValueError("frames without positions")
    for number in range(count):
        yield [*([frames[number]] if len(frames) else []), *shared, header]


def _slice(path: Path, header: Any, frame: int, groups: Sequence[Any]) -> Slice:
    measures = _found(groups, "PixelMeasuresSequence", "PixelSpacing")
    orientation = _found(groups, "PlaneOrientationSequence", "ImageOrientationPatient")
    position = _found(groups, "PlanePositionSequence", "ImagePositionPatient")
    values = _found(groups, "PixelValueTransformationSequence", "RescaleSlope", needed=False)
    thickness = measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or 0
    return Slice(
        path=path,
        frame=frame,
        series=str(header.SeriesInstanceUID),
        modality=str(header.get("Modality", "")),
        shape=(int(header.Rows), int(header.Columns)),
        orientation=_numbers(orientation.ImageOrientationPatient, 6),
        position=_numbers(position.ImagePositionPatient, 3),
        spacing=_numbers(measures.PixelSpacing, 2),
        thickness=abs(float(thickness)),
        slope=_slope(values.get("RescaleSlope", 1) if values is not None else 1),
        intercept=_finite(float(values.get("RescaleIntercept", 0) if values is not None else 0)),
        bits=int(header.BitsStored),
        signed=bool(header.get("PixelRepresentation", 0)),
        apart=tuple(_apart(groups, name) for name in APART),
        study=str(header.get("StudyInstanceUID", "")),
        patient=_text(header, "PatientID") or _text(header, "PatientName"),
    )


def _text(header: Any, name: str) -> str:
    return str(header.get(name) or "").strip()


def _found(groups: Sequence[Any], sequence: str, attribute: str, *, needed: bool = True) -> Any:
    """Find the part of a header that has an attribute: a group's sequence, or the header itself."""
    for group in groups:
        inner = group.get(sequence)
        for place in (*(inner or ()), group):
            if attribute in place:
                return place
    if needed:
        raise KeyError(attribute)
    return None


def _apart(groups: Sequence[Any], name: str) -> str:
    """Return the text of an attribute, wherever in the frame's groups it stands."""
    for group in groups:
        for element in group:
            inner = element.value if element.VR == "SQ" else None
            if inner and name in inner[0] and group is not groups[-1]:
                return str(inner[0].get(name))
        if name in group:
            return str(group.get(name))
    return ""


def _numbers(values: Any, count: int) -> Vector:
    found = tuple(float(v) for v in values)
    if len(found) != count:
        raise ValueError(f"{len(found)} numbers, not {count}")
    return tuple(map(_finite, found))


def _finite(value: float) -> float:
    if not isfinite(value):
        raise ValueError("no number")
    return value


def _slope(value: Any) -> float:
    if float(value) == 0:
        raise ValueError("a slope of 0")
    return _finite(float(value))


def _lacking(error: Exception) -> str:
    return str(error).strip("'\"") if isinstance(error, KeyError) else type(error).__name__
