"""Where a patch lies in a volume, and cutting it out with padding."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Corner = tuple[int, ...]


def patch_corner(
    rng: np.random.Generator,
    shape: Sequence[int],
    size: Sequence[int],
    centre: Sequence[int] | NDArray | None = None,
) -> Corner:
    """Choose the lower corner of a patch of `size` voxels in a volume of `shape` voxels.

    Along an axis on which the patch is larger than the volume, the volume is centred in it (the
    corner is negative). Otherwise the patch stays inside the volume: at a uniformly random place,
    or as close to being centred on `centre` as that allows.

    Args:
        rng: draws the place.
        shape: voxels of the volume, one number an axis.
        size: voxels of the patch.
        centre: the voxel to be in the middle; None draws a place.

    Returns:
        The corner, in voxels; negative where the patch begins before the volume.
    """
    corner = []
    for axis, (n, s) in enumerate(zip(shape, size, strict=True)):
        if n <= s:
            corner.append(-((s - n) // 2))
        elif centre is None:
            corner.append(int(rng.integers(0, n - s + 1)))
        else:
            corner.append(int(np.clip(centre[axis] - s // 2, 0, n - s)))
    return tuple(corner)


def cut(array: NDArray, corner: Corner, size: Sequence[int], fill: float) -> NDArray:
    """Cut a copy of the box at `corner` of `size` voxels; what lies outside the array is `fill`.

    The box is over the last axes: (..., *spatial) gives (..., *size). Only the part inside is read,
    so that a memory map stays on disk.

    Args:
        array: (..., *spatial), in memory or mapped from disk.
        corner: the first voxel of the box; may be negative.
        size: voxels of the box.
        fill: the value outside the array.

    Returns:
        The box (..., *size), a copy of the array's type.
    """
    spatial = array.shape[-len(size) :]
    lead = array.shape[: -len(size)]
    lower = [max(c, 0) for c in corner]
    upper = [
        max(min(c + s, n), lo) for c, s, n, lo in zip(corner, size, spatial, lower, strict=True)
    ]
    source: tuple[Any, ...] = (..., *(slice(a, b) for a, b in zip(lower, upper, strict=True)))
    if all(b - a == s for a, b, s in zip(lower, upper, size, strict=True)):
        return np.array(array[source])
    box = np.full((*lead, *size), fill, dtype=array.dtype)
    target: tuple[Any, ...] = (
        ...,
        *(slice(a - c, b - c) for a, b, c in zip(lower, upper, corner, strict=True)),
    )
    box[target] = array[source]
    return box


def foreground_voxel(
    rng: np.random.Generator, locations: Mapping[int, NDArray], values: Collection[int]
) -> NDArray | None:
    """Draw a random voxel (z, y, x) of a random label value among `values` that is present.

    Args:
        rng: the source of randomness.
        locations: label value -> (n, 3) voxels that carry it.
        values: the label values to choose from.

    Returns:
        The voxel, or None where no such value is present.
    """
    present = sorted(v for v in values if v in locations and len(locations[v]))
    if not present:
        return None
    places = locations[present[int(rng.integers(len(present)))]]
    return np.asarray(places[int(rng.integers(len(places)))])
