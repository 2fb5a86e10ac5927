"""What label maps and predictions say about support structures: paper 1's heuristics, counted.

Maps are (z, y, x) integers: the number of the support at each voxel, and negative values for all
that is none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Map = NDArray[np.integer]
Mask = NDArray[np.bool_]
_TOUCH = 1  # voxels


def holds(supports: Map, lesion: Mask, count: int) -> NDArray[np.float64]:
    """Return the share (count,) of the lesion's voxels that lie nearest to each support.

    A voxel counts for the support that holds the voxel outside of the lesion which is nearest to
    it: 1
    for the organ around a lesion (heuristic 1). NaN without lesion.

    Args:
        supports: index of the support at each voxel.
        lesion: bool, of the same shape.
        count: how many supports there are.

    Returns:
        The shares.
    """
    if not lesion.any() or lesion.all():
        return np.full(count, np.nan)
    nearest = ndimage.distance_transform_edt(lesion, return_distances=False, return_indices=True)
    around = supports[tuple(nearest)][lesion]
    return np.array([(around == s).mean() for s in range(count)])


def borders(supports: Map, lesion: Mask, count: int) -> NDArray[np.float64]:
    """Return the share (count,) of the lesion's components that each support touches.

    Diagonal neighbours touch, too. Heuristic 2; the organ that holds a lesion borders it, too. NaN
    without lesion.

    Args:
        supports: index of the support at each voxel.
        lesion: bool, of the same shape.
        count: how many supports there are.

    Returns:
        The shares.
    """
    parts, number = ndimage.label(lesion, np.ones((3,) * lesion.ndim))
    touched = np.zeros((number, count))
    for part, box in enumerate(ndimage.find_objects(parts)):
        wide = tuple(slice(max(0, b.start - _TOUCH), b.stop + _TOUCH) for b in box)
        inside = parts[wide] == part + 1
        shell = ndimage.binary_dilation(inside, np.ones((3,) * lesion.ndim), _TOUCH) & ~inside
        seen = np.unique(supports[wide][shell])
        touched[part, seen[(seen >= 0) & (seen < count)]] = 1
    return touched.mean(axis=0) if number else np.full(count, np.nan)


def false_positives(supports: Map, false: Mask, count: int) -> NDArray[np.float64]:
    """Return (count,) share of the false positive voxels that lie in each support (heuristic 3).

    NaN where the baseline has none.

    Args:
        supports: index of the support at each voxel.
        false: bool, the false positives.
        count: how many supports there are.

    Returns:
        The shares.
    """
    if not false.any():
        return np.full(count, np.nan)
    where = supports[false]
    return np.array([(where == s).mean() for s in range(count)])
