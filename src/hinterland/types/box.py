"""The smallest box around the true voxels of a mask."""

from __future__ import annotations

import numpy as np


def bounding_box(mask: np.ndarray) -> tuple[slice, ...] | None:
    """Return the smallest box that holds every True voxel, or None for an empty mask.

    Args:
        mask: (y, x) or (z, y, x) bool.

    Example:
        >>> bounding_box(np.array([[False, True], [False, True]]))
        (slice(0, 2, None), slice(1, 2, None))
    """
    # each look shrinks what the next one has to read
    box: list[slice] = [slice(None)] * mask.ndim
    plane = np.logical_or.reduce(mask, axis=0) if mask.ndim == 3 else mask
    for axis, other in ((-2, 1), (-1, 0)):
        hits = np.flatnonzero(plane.any(axis=other))
        if not hits.size:
            return None
        box[axis] = slice(int(hits[0]), int(hits[-1]) + 1)
    if mask.ndim == 3:
        hits = np.flatnonzero(mask[tuple(box)].any(axis=(1, 2)))
        box[0] = slice(int(hits[0]), int(hits[-1]) + 1)
    return tuple(box)


def joint_box(a: tuple[slice, ...], b: tuple[slice, ...]) -> tuple[slice, ...]:
    """Return the smallest box that holds two boxes."""
    return tuple(
        slice(min(s.start, t.start), max(s.stop, t.stop)) for s, t in zip(a, b, strict=True)
    )
