"""The foreground of an image made larger or smaller: CVBM's study of foreground ratios."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from hinterland.types import HinterlandError


def scale_foreground(
    image: np.ndarray, label: np.ndarray, factor: float, background: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Enlarge the foreground of an image about its centroid.

    All that is not `background` is one object: it is cut out, its edges are scaled by `factor`
    (intensities linearly, labels by the nearest voxel), and it is pasted where it was. Voxels that
    a smaller object uncovers get the intensity of the nearest background voxel. Axes of length 1
    stay. Without foreground, and with factor 1, nothing changes.

    Args:
        image: (C, z, y, x) intensities.
        label: (z, y, x) integers.
        factor: by which the edges grow; below 1 they shrink.
        background: the integer of the background.

    Returns:
        The new image (C, z, y, x) and label (z, y, x).

    Raises:
        HinterlandError: the factor is not positive.
    """
    if not factor > 0:
        raise HinterlandError(f"foreground scale {factor}: expected a positive number.")
    inside = label != background
    if factor == 1 or not inside.any() or inside.all():
        return image.copy(), label.copy()
    centre = np.argwhere(inside).mean(axis=0)
    matrix = np.array([1.0 if n == 1 else 1 / factor for n in label.shape])
    offset = centre - centre * matrix
    scaled = ndimage.affine_transform(
        label, matrix, offset, order=0, mode="constant", cval=background
    )
    # The background continued under the object; and the object around itself, so that its rim is
    # not interpolated with background.
    outer, inner = (_nearest(~inside), _nearest(inside))
    result = np.empty_like(image)
    for channel, out in zip(image, result, strict=True):
        around, own = channel[outer], channel[inner].astype(np.float64)
        own = ndimage.affine_transform(own, matrix, offset, order=1, mode="nearest")
        if np.issubdtype(channel.dtype, np.integer):
            own = np.rint(own)
        out[...] = np.where(scaled != background, own.astype(channel.dtype), around)
    return result, scaled


def _nearest(kept: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return, for every voxel, where the nearest voxel of `kept` is."""
    return tuple(ndimage.distance_transform_edt(~kept, return_distances=False, return_indices=True))
