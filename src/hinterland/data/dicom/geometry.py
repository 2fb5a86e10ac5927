"""Put slices in order and find where their voxels lie; refuse what is no even stack."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hinterland.data.dicom.slices import Slice

TOLERANCE = 0.01
"""Of the distance between slices: more is uneven, or slanted."""
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


class NoStack(Exception):
    """Slices that make no volume; `code` names the kind of trouble."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def stacked(slices: Sequence[Slice]) -> tuple[list[Slice], np.ndarray]:
    """Order slices by their place along the normal.

    Args:
        slices: Planes of one size and direction.

    Returns:
        The slices, and NIfTI's affine (4, 4): voxel (x, y, z) -> mm (right, front, up).

    Raises:
        NoStack: Two slices lie at one place, some are missing, their distances differ, or the stack
            is slanted (a tilted gantry).
    """
    first = slices[0]
    row, column = np.reshape(first.orientation, (2, 3))
    normal = np.cross(row, column)
    if abs(np.linalg.norm(normal) - 1) > 1e-3 or min(first.spacing) <= 0:
        raise NoStack(
            "dicom-geometry",
            "its directions are no right angle, or its voxels have no size. Correct the header, "
            "or export the series again.",
        )
    positions = np.array([s.position for s in slices])
    order = np.argsort(positions @ normal, kind="stable")
    places = positions[order]
    step = _step(places, normal, first.thickness)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([row * first.spacing[1], column * first.spacing[0], step], axis=1)
    affine[:3, 3] = places[0]
    return [slices[i] for i in order], _LPS @ affine


def _step(places: np.ndarray, normal: np.ndarray, thickness: float) -> np.ndarray:
    """Return the way from one slice to the next, mm."""
    count = len(places)
    if count == 1:
        return normal * (thickness or 1.0)
    gaps = np.diff(places @ normal)
    usual = float(np.median(gaps))
    if gaps.min() < 1e-3 * max(usual, 1e-3):
        raise NoStack(
            "dicom-same-place",
            f"{int((gaps < 1e-3 * max(usual, 1e-3)).sum())} of its {count} images lie where others "
            "do, and nothing in their headers tells them apart. Keep one image of each place.",
        )
    times = gaps / usual
    if np.abs(times - 1).max() > TOLERANCE:
        whole = np.rint(times)
        if np.abs(times - whole).max() <= TOLERANCE * whole.max():
            raise NoStack(
                "dicom-missing-slice",
                f"{int(whole.sum()) - len(gaps)} slice(s) are missing: its {count} slices lie "
                f"{usual:.4g} mm apart, but for {int((whole > 1).sum())} gap(s). Copy the whole "
                "series again.",
            )
        raise NoStack(
            "dicom-uneven",
            f"its {count} slices lie {gaps.min():.4g} to {gaps.max():.4g} mm apart; expected even "
            "distances. Resample it to even slices, or export a reconstruction that has them.",
        )
    step = (places[-1] - places[0]) / (count - 1)
    slant = np.linalg.norm(step - (step @ normal) * normal)
    if slant > TOLERANCE * np.linalg.norm(step):
        angle = np.degrees(np.arcsin(slant / np.linalg.norm(step)))
        raise NoStack(
            "dicom-slanted",
            f"its slices are shifted against each other ({angle:.1f} degrees, a tilted gantry); "
            "expected a stack at right angles. Resample it (dcm2niix does).",
        )
    return np.asarray(step)
