"""Volumes made smaller by whole factors, and the geometry that they are shown in."""

from __future__ import annotations

from math import ceil, prod

import numpy as np
from nibabel.orientations import io_orientation

Factors = tuple[int, int, int]


def factors_for(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], most: int
) -> Factors:
    """Choose by how much each axis is to be shrunk; the finest axis always goes first.

    Args:
        shape: (z, y, x) in voxels.
        spacing: (z, y, x), in any unit.
        most: voxels at most, 1 or more.

    Returns:
        A whole factor an axis, (1, 1, 1) where the volume is small enough.
    """
    factors = [1, 1, 1]

    def left(axis: int) -> int:
        return ceil(shape[axis] / factors[axis])

    while prod(left(a) for a in range(3)) > most:
        divisible = [a for a in range(3) if left(a) > 1]
        factors[min(divisible, key=lambda a: spacing[a] * factors[a])] += 1
    return factors[0], factors[1], factors[2]


def mean_blocks(array: np.ndarray, factors: Factors) -> np.ndarray:
    """Average blocks of an image (z, y, x); the last block of an axis may be cut short.

    Args:
        array: any number type.
        factors: the size of a block.

    Returns:
        float32, NaN and infinite values taken as they are by `numpy.nan_to_num`.
    """
    result = np.nan_to_num(array.astype(np.float32))
    for axis, factor in enumerate(factors):
        if factor > 1:
            starts = np.arange(0, result.shape[axis], factor)
            sizes = np.diff(np.append(starts, result.shape[axis]))
            sums = np.add.reduceat(result, starts, axis=axis)
            result = sums / np.expand_dims(sizes, [a for a in range(3) if a != axis])
    return np.asarray(result, np.float32)


def pick_blocks(array: np.ndarray, factors: Factors) -> np.ndarray:
    """Take the voxel in the middle of each block of a label map (z, y, x): no label is mixed."""
    places = [
        np.minimum(np.arange(0, n, f) + f // 2, n - 1)
        for n, f in zip(array.shape, factors, strict=True)
    ]
    return array[np.ix_(*places)]


def shrunk_affine(affine: np.ndarray, factors: Factors) -> np.ndarray:
    """Move an affine (voxel x, y, z -> mm) to the centres of the blocks."""
    block = np.eye(4)
    for axis, factor in enumerate(reversed(factors)):
        block[axis, axis] = factor
        block[axis, 3] = (factor - 1) / 2
    return affine @ block


def straightened(affine: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Turn an oblique affine so that slices can be seen as they were taken.

    Args:
        affine: voxel (x, y, z) -> mm.
        shape: voxels (z, y, x).

    Returns:
        The affine whose voxel axes run along the world axes that they are nearest to, about the
        volume's centre; `affine` itself where they do already.
    """
    turned = np.zeros((4, 4))
    turned[3, 3] = 1
    for axis, (world, sign) in enumerate(io_orientation(affine)):
        turned[int(world), axis] = sign * np.linalg.norm(affine[:3, axis])
    if np.allclose(turned[:3, :3], affine[:3, :3], atol=1e-3 * np.abs(turned).max()):
        return affine
    centre = np.array([*((n - 1) / 2 for n in reversed(shape)), 1.0])
    turned[:3, 3] = (affine @ centre)[:3] - turned[:3, :3] @ centre[:3]
    return turned


def sharpest_plane(affine: np.ndarray) -> int:
    """Return the plane with the finest pixels: 0 axial, 1 coronal, 2 sagittal.

    It is the axial one unless another axis has the thick slices.
    """
    orientation = io_orientation(affine)
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    thick = int(sides.argmax())
    others = np.delete(sides, thick)
    through = thick if sides[thick] > 1.5 * others.max() else int(orientation[:, 0].argmax())
    return 2 - int(orientation[through, 0])
