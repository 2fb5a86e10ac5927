"""Tell whether two volumes lie on one grid, and bring one onto the other's where that is exact.

Channels, labels and predictions are combined voxel by voxel, so that equal shapes are not enough: a
file may be stored with its axes flipped or in another order, and its header says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

SPACING_TOLERANCE = 1e-3  # relative
DIRECTION_TOLERANCE = 1e-3  # of direction cosines
ORIGIN_TOLERANCE = 1e-2  # of the smallest voxel side

Shape3 = tuple[int, int, int]


@dataclass(frozen=True)
class Grid:
    """Where voxels lie: the shape (z, y, x), and the affine from voxel (x, y, z) to mm."""

    shape: Shape3
    affine: np.ndarray

    @property
    def usable(self) -> bool:
        """Whether the affine is finite and maps voxels onto a volume."""
        finite = bool(np.isfinite(self.affine).all())
        return finite and abs(float(np.linalg.det(self.affine[:3, :3]))) > 1e-12


@dataclass(frozen=True)
class Difference:
    """One property in which two grids differ, by how much, and both values as text."""

    name: str
    amount: float
    tolerance: float
    expected: str
    found: str

    @property
    def matters(self) -> bool:
        """Whether it is more than rounding."""
        return self.amount > self.tolerance

    def __str__(self) -> str:
        return f"{self.name} {self.found} instead of {self.expected}"


def differences(reference: Grid, other: Grid) -> list[Difference]:
    """List how `other` differs from `reference` in shape, spacing, direction and origin.

    Different shapes are the only entry then; two affines that are the same, also unusable ones,
    do not differ.
    """
    if reference.shape != other.shape:
        return [Difference("shape", np.inf, 0, str(reference.shape), f"{other.shape} (z, y, x)")]
    a, b = reference.affine, other.affine
    if np.array_equal(a, b, equal_nan=True):
        return []
    if not (reference.usable and other.usable):
        return [Difference("affine", np.inf, 0, _text(a.ravel()), _text(b.ravel()))]
    sa, sb = np.linalg.norm(a[:3, :3], axis=0), np.linalg.norm(b[:3, :3], axis=0)
    da, db = a[:3, :3] / sa, b[:3, :3] / sb
    return [
        Difference("spacing", float(np.max(np.abs(sa - sb) / sa)), SPACING_TOLERANCE,
                   _text(sa[::-1]), _text(sb[::-1])),
        Difference("direction", float(np.abs(da - db).max()), DIRECTION_TOLERANCE,
                   _text(da.ravel()), _text(db.ravel())),
        Difference("origin", float(np.abs(a[:3, 3] - b[:3, 3]).max() / sa.min()),
                   ORIGIN_TOLERANCE, _text(a[:3, 3]), _text(b[:3, 3])),
    ]  # fmt: skip


def on_grid(array: np.ndarray, affine: np.ndarray, grid: Grid) -> np.ndarray | None:
    """Bring an array onto a grid without interpolation.

    Args:
        array: (C, z, y, x).
        affine: From its voxels (x, y, z) to mm.
        grid: Where it is wanted.

    Returns:
        The array itself where it lies on that grid (within rounding); a flipped or transposed view
        where it holds the same voxels in another order; None where only resampling would do.
    """
    own = Grid(_spatial(array), affine)
    if not any(d.matters for d in differences(grid, own)):
        return array
    if not (own.usable and grid.usable):
        return None
    order = io_orientation(np.linalg.inv(grid.affine) @ affine)
    if np.isnan(order).any():
        return None
    turned = apply_orientation(array.transpose(3, 2, 1, 0), order).transpose(3, 2, 1, 0)
    moved = affine @ inv_ornt_aff(order, array.shape[:0:-1])
    if any(d.matters for d in differences(grid, Grid(_spatial(turned), moved))):
        return None
    return turned


def _spatial(array: np.ndarray) -> Shape3:
    z, y, x = array.shape[1:]
    return z, y, x


def _text(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{v:.4g}" for v in values) + ")"
