"""Lesions painted over with healthy tissue of the same image, and shams: the same where none is."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

SHIFTS = 32
"""Places that are tried for a source of texture, or for a sham."""
MARGIN = 2
"""Voxels around a lesion that count as healthy nowhere: its rim is blurred into them."""


def erase(
    image: np.ndarray, region: np.ndarray, healthy: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Paint a region over with healthy tissue of the same image.

    Each connected part takes the intensities of the place, among some shifts of it, that is
    healthiest; voxels whose source is not healthy take those of any healthy voxel. So every new
    intensity is one of the healthy tissue, and most of its texture is kept.

    Args:
        image: (C, z, y, x) intensities.
        region: (z, y, x) bool, what is painted over.
        healthy: (z, y, x) bool, where intensities are taken from; some voxel is.
        rng: draws the shifts.

    Returns:
        The new image, of the same shape and type.
    """
    result = image.copy()
    parts, count = ndimage.label(region)
    pool = np.argwhere(healthy)
    for number in range(1, count + 1):
        voxels = np.argwhere(parts == number)
        source = _healthiest(voxels, healthy, pool, rng)
        sick = ~healthy[tuple(source.T)]
        source[sick] = pool[rng.integers(len(pool), size=int(sick.sum()))]
        result[(slice(None), *voxels.T)] = image[(slice(None), *source.T)]
    return result


def sham(region: np.ndarray, healthy: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Find a healthy place as large as a region, and of its shape as far as there is room.

    What is painted over there shows the marks of `erase` and loses no lesion, so that these marks
    do not tell erased from other images. Half of the healthy tissue is left to paint with.

    Args:
        region: (z, y, x) bool.
        healthy: (z, y, x) bool; some voxel is.
        rng: draws the places.

    Returns:
        (z, y, x) bool, inside `healthy`.
    """
    found = np.zeros_like(region)
    parts, count = ndimage.label(region)
    pool = np.argwhere(healthy)
    for number in range(1, count + 1):
        voxels = np.argwhere(parts == number)
        found[tuple(_healthiest(voxels, healthy & ~found, pool, rng).T)] = True
    found &= healthy
    missing = min(int(region.sum()), len(pool) // 2) - int(found.sum())
    if missing > 0 and found.any():  # what had no room lies around it
        free = np.argwhere(healthy & ~found)
        distance = ndimage.distance_transform_edt(~found)[tuple(free.T)]
        found[tuple(free[np.argsort(distance, kind="stable")[:missing]].T)] = True
    return found


def _healthiest(
    voxels: np.ndarray, healthy: np.ndarray, pool: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Shift voxels (n, 3) to where most of them are healthy; inside the image."""
    best, most = voxels, -1
    shape = np.array(healthy.shape)
    centre = voxels[len(voxels) // 2]
    for place in pool[rng.integers(len(pool), size=SHIFTS)]:
        moved = np.clip(voxels + (place - centre), 0, shape - 1)
        count = int(np.count_nonzero(healthy[tuple(moved.T)]))
        if count > most:
            best, most = moved, count
    return best.copy()
