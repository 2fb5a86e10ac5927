"""Changing the grid of an array: cubic for images, linear for labels and probabilities.

Voxels are boxes that tile the volume, so voxel i of an axis with n voxels has its centre at
(i + 1/2) / n of the axis' length, before and after. Beyond the border the edge value continues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

ANISOTROPY = 3.0
"""Largest over smallest spacing from which the coarse axis is resampled by itself."""

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class AxisMap:
    """What the voxels of a new grid are made of, along one axis of order-1 resampling.

    Voxel i is (1 - weight[i]) old[low[i]] + weight[i] old[high[i]].
    """

    low: np.ndarray
    high: np.ndarray
    weight: np.ndarray

    @classmethod
    def linear(cls, old: int, new: int) -> AxisMap:
        """Interpolate between the two nearest centres; the identity where the sizes are equal."""
        centre = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        low = np.floor(centre).astype(int)
        weight = (centre - low).astype(np.float32)
        return cls(low, low + (weight > 0), weight)

    @classmethod
    def nearest(cls, old: int, new: int) -> AxisMap:
        """Take the voxel that holds the new one's centre."""
        low = np.clip(np.floor((np.arange(new) + 0.5) * old / new).astype(int), 0, old - 1)
        return cls(low, low, np.zeros(new, np.float32))


def resampled_shape(
    shape: Sequence[int], spacing: Sequence[float], target: Sequence[float]
) -> Shape:
    """Return the shape of a grid after a change of spacing.

    It is round(shape * spacing / target) on each axis, at least 1.

    Args:
        shape: voxels.
        spacing: of the grid, in mm.
        target: spacing of the new grid, in mm.

    Returns:
        Voxels of the new grid.
    """
    # the order of operations is nnU-Net's, so that ties round alike
    z, y, x = (
        max(1, round(old / new * n)) for n, old, new in zip(shape, spacing, target, strict=True)
    )
    return z, y, x


def separate_axis(spacing: Sequence[float], target: Sequence[float]) -> int | None:
    """Return the axis that is too coarse to be interpolated together with the others, or None.

    Voxels are thick if one of the spacings is more than `ANISOTROPY` times the smallest. Two axes
    that are equally coarse are no reason to treat any of them apart.
    """
    for values in (np.asarray(spacing, float), np.asarray(target, float)):
        if values.max() / values.min() > ANISOTROPY:
            coarse = np.flatnonzero(values == values.max())
            return int(coarse[0]) if len(coarse) == 1 else None
    return None


def resample(
    array: np.ndarray,
    shape: Shape,
    spacing: Sequence[float],
    target: Sequence[float],
    order: Literal[1, 3] = 3,
) -> np.ndarray:
    """Resample channels to a grid of another shape.

    Along a separate
    axis (see `separate_axis`) the nearest slice is taken: a blend of two thick slices would show
    anatomy that neither has. One channel is worked on at a time.

    Args:
        array: (C, z, y, x).
        shape: voxels of the new grid.
        spacing: of the grid, in mm.
        target: spacing of the new grid, in mm.
        order: 3 is a cubic spline limited to the range of its input, 1 is linear.

    Returns:
        (C, *shape), float32.
    """
    if tuple(array.shape[1:]) == tuple(shape):
        return np.ascontiguousarray(array, dtype=np.float32)
    apart = separate_axis(spacing, target)
    out = np.empty((len(array), *shape), np.float32)
    for channel, result in zip(array, out, strict=True):
        result[...] = _resample_channel(np.asarray(channel, np.float32), shape, apart, order)
    return out


def resample_labels(
    label: np.ndarray, shape: Shape, spacing: Sequence[float], target: Sequence[float]
) -> np.ndarray:
    """Resample integers to a grid of another shape.

    Every value's indicator is interpolated linearly (nearest along a separate axis) and the largest
    wins; in a tie the higher value, as in nnU-Net: halving a grid must not eat thin lesions.

    Args:
        label: (z, y, x).
        shape: voxels of the new grid.
        spacing: of the grid, in mm.
        target: spacing of the new grid, in mm.

    Returns:
        Integers of the type that came.
    """
    if tuple(label.shape) == tuple(shape):
        return np.ascontiguousarray(label)
    apart = separate_axis(spacing, target)
    values = np.unique(label).tolist()
    out = np.full(shape, values[0], label.dtype)
    if len(values) == 1:
        return out
    best = np.full(shape, -1.0, np.float32)
    for value in values:
        share = _resample_channel((label == value).astype(np.float32), shape, apart, 1)
        # indicators sum to one: float noise must not decide a tie
        np.copyto(out, value, where=share > best - 1e-5, casting="unsafe")
        np.maximum(best, share, out=best)
    return out


def _resample_channel(
    channel: np.ndarray, shape: Shape, apart: int | None, order: Literal[1, 3]
) -> np.ndarray:
    if apart is None:
        return _zoom(channel, shape, order)
    slices = np.moveaxis(channel, apart, 0)
    inner = tuple(n for axis, n in enumerate(shape) if axis != apart)
    nearest = AxisMap.nearest(slices.shape[0], shape[apart]).low
    # only slices that are wanted, each once
    wanted, where = np.unique(nearest, return_inverse=True)
    resized = np.stack([_zoom(slices[i], inner, order) for i in wanted])
    return np.moveaxis(resized[where], 0, apart)


def _zoom(array: np.ndarray, shape: tuple[int, ...], order: Literal[1, 3]) -> np.ndarray:
    if array.shape == tuple(shape):
        return array
    if order == 1:
        return _zoom_linear(array, shape)
    out = np.empty(shape, np.float32)
    if array.size <= WHOLE:
        factors = [new / old for new, old in zip(shape, array.shape, strict=True)]
        ndimage.zoom(array, factors, output=out, order=order, mode="nearest", grid_mode=True)
    else:
        _zoom_in_parts(array, out)
    return np.clip(out, array.min(), array.max(), out=out)


WHOLE = 2**25
"""Voxels up to which a cubic spline is fitted to all at once: it takes 12 bytes for each."""

PART = 2**23
"""Voxels that are resampled at a time where there are more; those within `REACH` are read, too."""

REACH = 16
"""Voxels beyond which a spline depends on no other: .27^16 is less than a bit of float32."""


def _zoom_in_parts(array: np.ndarray, out: np.ndarray) -> None:
    """Do the same as `ndimage.zoom` of order 3, some slices of the first axis at a time."""
    scale = np.array(array.shape) / np.array(out.shape)
    step = max(1, int(PART / scale[0] / np.prod(array.shape[1:])))
    for a in range(0, len(out), step):
        part = out[a : a + step]
        # voxel i of the part has its centre there, in voxels of the array
        first = (a + 0.5) * scale[0] - 0.5
        last = (a + len(part) - 0.5) * scale[0] - 0.5
        low = max(0, int(first) - REACH)
        high = min(len(array), int(last) + 2 + REACH)
        offset = 0.5 * scale - 0.5
        offset[0] = first - low
        ndimage.affine_transform(
            array[low:high], scale, offset, part.shape, part, order=3, mode="nearest"
        )


def _zoom_linear(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Do the same as `ndimage.zoom` of order 1, an order of magnitude faster: axis by axis."""
    for axis, (old, new) in enumerate(zip(array.shape, shape, strict=True)):
        if old == new:
            continue
        places = AxisMap.linear(old, new)
        weight = places.weight.reshape([-1 if a == axis else 1 for a in range(array.ndim)])
        below = np.take(array, places.low, axis)
        array = below + weight * (np.take(array, places.high, axis) - below)
    return array
