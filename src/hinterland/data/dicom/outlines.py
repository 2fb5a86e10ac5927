"""Outlines of radiotherapy (RTSTRUCT) as masks on the grid of the series they were drawn on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from skimage.draw import polygon2mask

from hinterland.data.dicom.files import dicom_files, quiet, read_header
from hinterland.data.dicom.series import Series
from hinterland.types import HinterlandError

_LPS = np.array([-1.0, -1.0, 1.0])
_OFF = 0.25
"""Of the distance between slices, by which an outline may miss its slice."""


@dataclass(frozen=True)
class Outlines:
    """The structures of one RTSTRUCT file.

    Attributes:
        series: The number of the series that they were drawn on; "" where it does not say.
        contours: Structure -> closed outlines (points, 3) in mm (left, back, up).
    """

    path: Path
    series: str
    contours: Mapping[str, Sequence[np.ndarray]]


def find_outlines(given: Path) -> list[Outlines]:
    """Read all RTSTRUCT files of a folder."""
    with quiet():
        headers = ((path, read_header(path)) for path in dicom_files(given))
        return [_read(path, h) for path, h in headers if h.get("Modality") == "RTSTRUCT"]


def _read(path: Path, header: Any) -> Outlines:
    names = {int(r.ROINumber): str(r.get("ROIName", f"structure {r.ROINumber}")).strip()
             for r in header.get("StructureSetROISequence", [])}  # fmt: skip
    contours: dict[str, list[np.ndarray]] = {name: [] for name in names.values()}
    for structure in header.get("ROIContourSequence", []):
        own = contours[names[int(structure.ReferencedROINumber)]]
        for contour in structure.get("ContourSequence", []):
            if str(contour.get("ContourGeometricType", "")).startswith("CLOSED_PLANAR"):
                own.append(np.reshape(np.asarray(contour.ContourData, float), (-1, 3)))
    return Outlines(path, _series_of(header), contours)


def _series_of(header: Any) -> str:
    for frame in header.get("ReferencedFrameOfReferenceSequence", []):
        for study in frame.get("RTReferencedStudySequence", []):
            for series in study.get("RTReferencedSeriesSequence", []):
                return str(series.SeriesInstanceUID)
    return ""


def mask_of(series: Series, contours: Sequence[np.ndarray]) -> np.ndarray:
    """Fill outlines: a voxel belongs to the structure where its centre is inside.

    Outlines of one slice that lie in each other leave holes (even-odd rule), as do outlines that
    touch themselves along a channel to their hole.

    Args:
        series: The grid.
        contours: Closed outlines (points, 3), mm.

    Returns:
        (z, y, x), bool.

    Raises:
        HinterlandError: An outline does not lie in a slice of the series.
    """
    mask = np.zeros(series.shape, bool)
    to_voxel = np.linalg.inv(series.affine)
    for contour in contours:
        x, y, z = (to_voxel[:3, :3] @ (contour * _LPS).T + to_voxel[:3, 3:]).round(6)
        place = int(np.rint(z.mean()))
        if np.abs(z - place).max() > _OFF or not 0 <= place < len(mask):
            raise HinterlandError(
                f"{series.name}: an outline does not lie in a slice of the series. Expected "
                "outlines that were drawn on it; export both together."
            )
        mask[place] ^= polygon2mask(mask.shape[1:], np.stack([y, x], axis=1))
    return mask
