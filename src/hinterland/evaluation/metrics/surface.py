"""Surfaces of masks and the distances between them.

The surface of a mask is the mask minus its erosion by the 6-neighbourhood (4-neighbourhood in 2D)
after padding by one, so that a mask cut off by the image border has a surface there too. Distances
run between voxel centres in physical units and are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from hinterland.types import HinterlandError
from hinterland.types.box import bounding_box, joint_box

HausdorffMode = Literal["directed_max", "pooled"]
AverageMode = Literal["symmetric", "directed"]

ROUNDING = 1e-4  # relative; spacings in headers are rounded to float32 or to a few digits
_SHELL_OFFSETS = 96  # neighbours looked up directly before the k-d tree takes over; measured


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances from each surface voxel of one mask to the nearest surface voxel of the other.

    `forward` (n,): prediction to reference; `backward` (m,): reference to prediction.
    Both are in the unit of the spacing, in no particular order.
    """

    forward: np.ndarray
    backward: np.ndarray

    def hausdorff(self, percentile: float = 95.0, mode: HausdorffMode = "directed_max") -> float:
        """Return the percentile Hausdorff distance.

        `directed_max`: max(P(forward), P(backward)), P the percentile with linear interpolation
        (MONAI, Metrics Reloaded). `pooled`: P(forward and backward together) (medpy).

        Raises:
            HinterlandError: another mode.
        """
        if mode == "pooled":
            return float(np.percentile(np.concatenate([self.forward, self.backward]), percentile))
        if mode != "directed_max":
            raise HinterlandError(f"HD mode {mode!r}; expected 'directed_max' or 'pooled'.")
        return float(max(np.percentile(d, percentile) for d in (self.forward, self.backward)))

    def average(self, mode: AverageMode = "symmetric") -> float:
        """Return the mean distance: of both directions (ASSD), or of `forward` alone (ASD).

        Raises:
            HinterlandError: another mode.
        """
        if mode == "directed":
            return float(self.forward.mean())
        if mode != "symmetric":
            raise HinterlandError(f"ASD mode {mode!r}; expected 'symmetric' or 'directed'.")
        total = self.forward.sum() + self.backward.sum()
        return float(total / (self.forward.size + self.backward.size))

    def within(self, tolerance: float) -> float:
        """Return the share of the voxels of both surfaces with d <= tolerance.

        Header rounding does not count: a spacing of 1.00000002 mm, as float32 and oblique headers
        have it, is 1 mm, so that d may exceed the tolerance by `ROUNDING` of itself.
        """
        limit = tolerance * (1 + ROUNDING)
        near = np.count_nonzero(self.forward <= limit)
        near += np.count_nonzero(self.backward <= limit)
        return near / (self.forward.size + self.backward.size)


def surface(mask: np.ndarray) -> np.ndarray:
    """Find the surface voxels of a boolean mask, as a mask of the same shape.

    (y, x): 4-neighbourhood; (z, y, x): 6-neighbourhood, also where z has length 1.
    """
    inner = mask.copy()
    for axis in range(mask.ndim):
        head = _along(mask.ndim, axis, slice(None, -1))
        tail = _along(mask.ndim, axis, slice(1, None))
        inner[tail] &= mask[head]
        inner[head] &= mask[tail]
        for end in (0, -1):
            inner[_along(mask.ndim, axis, end)] = False
    return mask ^ inner


def _along(ndim: int, axis: int, index: slice | int) -> tuple[slice | int, ...]:
    return tuple(index if a == axis else slice(None) for a in range(ndim))


def image_axes(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the axes along which an image extends.

    A volume of one slice, whichever its axis, is the 2D image of the other two.

    Example:
        >>> image_axes((20, 1, 30)), image_axes((1, 1, 30)), image_axes((5, 20, 30))
        ((0, 2), (1, 2), (0, 1, 2))
    """
    flat = [axis for axis, length in enumerate(shape) if length == 1]
    dropped = flat[: max(len(shape) - 2, 0)]
    return tuple(axis for axis in range(len(shape)) if axis not in dropped)


def as_image(
    mask: np.ndarray, spacing: Sequence[float], shape: Sequence[int] | None = None
) -> tuple[np.ndarray, tuple[float, ...]]:
    """Return a volume of one slice as the 2D image it is, with its spacing; else what came.

    Args:
        mask: (y, x) or (z, y, x).
        spacing: one length per axis.
        shape: of the whole image, where the mask is a crop of it: a thin mask of a thick volume
            stays a volume.

    Returns:
        The mask and the spacing, along the axes of the image.
    """
    axes = image_axes(shape or mask.shape)
    index = tuple(slice(None) if axis in axes else 0 for axis in range(mask.ndim))
    return mask[index], tuple(spacing[axis] for axis in axes)


def check_pair(prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]) -> None:
    """Refuse masks and a spacing that do not belong together.

    Args:
        prediction: bool.
        reference: bool of the same shape.
        spacing: one positive length per axis.

    Raises:
        HinterlandError: they differ in shape or axes, or are not boolean.
    """
    if prediction.shape != reference.shape:
        raise HinterlandError(
            f"the prediction has shape {prediction.shape}, the reference {reference.shape}; "
            "both must lie on one grid. Resample the prediction to the reference's geometry."
        )
    if prediction.dtype != bool or reference.dtype != bool:
        raise HinterlandError(
            f"masks must be boolean, got {prediction.dtype} and {reference.dtype}; "
            "compare a label map with a label first (`labels == 1`)."
        )
    if len(spacing) != prediction.ndim or not all(s > 0 for s in spacing):
        raise HinterlandError(
            f"spacing {tuple(spacing)} for a mask of shape {prediction.shape}; "
            "expected one positive length per axis."
        )


def surface_distances(
    prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]
) -> SurfaceDistances:
    """Measure the distances between the surfaces of two non-empty boolean masks of one shape.

    Args:
        prediction: (y, x) or (z, y, x) bool. A volume of one slice is a 2D image.
        reference: bool of the same shape.
        spacing: one length per axis.

    Returns:
        The distances in both directions.

    Raises:
        HinterlandError: an empty mask (those are the business of the empty-mask table), or masks
            and a spacing that do not belong together.
    """
    check_pair(prediction, reference, spacing)
    (prediction, lengths), (reference, _) = (as_image(m, spacing) for m in (prediction, reference))
    return grid_distances(prediction, reference, lengths)


def grid_distances(
    prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]
) -> SurfaceDistances:
    """Measure as `surface_distances`, on masks already checked; axes of length 1 are kept.

    Args:
        prediction: bool, not empty.
        reference: bool of the same shape, not empty.
        spacing: one length per axis.

    Returns:
        The distances in both directions.

    Raises:
        HinterlandError: a mask is empty.
    """
    boxes = bounding_box(prediction), bounding_box(reference)
    if boxes[0] is None or boxes[1] is None:
        raise HinterlandError(
            "surface distances of an empty mask are not defined."
            " Choose an empty-mask policy (penalty or drop)."
        )
    joint = joint_box(boxes[0], boxes[1])
    margins, offsets = _shells(tuple(spacing))
    step = np.asarray(spacing)
    grids = [
        _padded_surface(mask, box, joint, margins)
        for mask, box in ((prediction, boxes[0]), (reference, boxes[1]))
    ]
    points = [np.flatnonzero(g) for g in grids]
    strides = np.array([int(np.prod(grids[0].shape[a + 1 :])) for a in range(grids[0].ndim)])
    shells = [(d, o @ strides) for d, o in offsets]
    return SurfaceDistances(
        forward=_nearest(points[0], points[1], grids[1], shells, step),
        backward=_nearest(points[1], points[0], grids[0], shells, step),
    )


def _padded_surface(
    mask: np.ndarray,
    box: tuple[slice, ...],
    joint: tuple[slice, ...],
    margins: tuple[int, ...],
) -> np.ndarray:
    """Place the surface inside the joint box, with a margin so that shell look-ups stay inside."""
    shape = [j.stop - j.start + 2 * m for j, m in zip(joint, margins, strict=True)]
    grid = np.zeros(shape, dtype=bool)
    place = tuple(
        slice(b.start - j.start + m, b.stop - j.start + m)
        for b, j, m in zip(box, joint, margins, strict=True)
    )
    grid[place] = surface(mask[box])
    return grid


@lru_cache(maxsize=64)
def _shells(
    spacing: tuple[float, ...],
) -> tuple[tuple[int, ...], tuple[tuple[float, np.ndarray], ...]]:
    """List neighbour offsets by increasing physical distance, grouped by equal distance.

    Complete up to the largest distance returned. Returns the margin each axis needs, and pairs of
    (distance, (k, axes) offsets).
    """
    reach = 4 if len(spacing) == 3 else 8
    step = np.asarray(spacing)
    limit = (reach + 1) * step.min()  # a cube in voxels is complete up to its nearest face
    axes = [np.arange(-reach, reach + 1)] * len(spacing)
    offsets = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(spacing))
    distance = np.sqrt(((offsets * step) ** 2).sum(axis=1))
    order = np.argsort(distance, kind="stable")
    order = order[distance[order] < limit * (1 - 1e-9)]
    shells: list[tuple[float, np.ndarray]] = []
    taken = start = 0
    values = distance[order]
    while start < len(order) and taken < _SHELL_OFFSETS:
        stop = int(np.searchsorted(values, values[start] * (1 + 1e-12) + 1e-15, side="right"))
        shells.append((float(values[start]), offsets[order[start:stop]]))
        taken += stop - start
        start = stop
    margins = np.abs(np.concatenate([o for _, o in shells])).max(axis=0)
    return tuple(int(m) for m in margins), tuple(shells)


def _nearest(
    points: np.ndarray,
    others: np.ndarray,
    grid: np.ndarray,
    shells: list[tuple[float, np.ndarray]],
    spacing: np.ndarray,
) -> np.ndarray:
    """Return each point's distance to the nearest True voxel of `grid`; indices are flat.

    Two surfaces of a usable segmentation lie within a few voxels of each other, where looking up
    the neighbours in order of distance beats any search structure; the rest goes to a k-d tree.
    """
    distances = np.empty(points.size)
    lookup = grid.ravel()
    waiting = np.arange(points.size)
    left = points
    for distance, offsets in shells:
        if not left.size:
            return distances
        hit = lookup[left + offsets[0]]
        for offset in offsets[1:]:
            hit |= lookup[left + offset]
        distances[waiting[hit]] = distance
        miss = ~hit
        waiting, left = waiting[miss], left[miss]
    if left.size:
        from scipy.spatial import cKDTree

        tree = cKDTree(_coordinates(others, grid.shape, spacing), balanced_tree=False)
        distances[waiting] = tree.query(_coordinates(left, grid.shape, spacing))[0]
    return distances


def _coordinates(flat: np.ndarray, shape: tuple[int, ...], spacing: np.ndarray) -> np.ndarray:
    return np.stack(np.unravel_index(flat, shape), axis=-1) * spacing
