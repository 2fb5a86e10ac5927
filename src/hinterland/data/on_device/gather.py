"""Cut the patches of a batch out of `Volumes`, mirrored and with axes exchanged if need be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hinterland.data.on_device.draws import Draw
from hinterland.data.on_device.volumes import Box, Volumes
from hinterland.data.sampling.places import drawn_corner

_OUTSIDE = -(2**60)  # a sum with it is negative, whatever is added


def gather_offsets(
    draws: Sequence[Draw],
    boxes: Sequence[Box],
    axes: NDArray[np.int64],
    reverse: NDArray[np.bool_],
    patch_size: Sequence[int],
    size: Sequence[int],
) -> list[NDArray[np.int64]]:
    """Write down where in `Volumes` the voxels of each item lie.

    Args:
        draws: The items.
        boxes: Where the volume of each lies.
        axes: (items, d) the axis of the volume that each axis of the patch runs along; exchanged
            axes are equally long.
        reverse: (items, d) whether it runs backwards.
        patch_size: Voxels of the patch that a place is the corner of.
        size: Voxels to cut, with that patch in the middle.

    Returns:
        For each axis of the patch (items, voxels along it): what the places along the axes sum to
        is the voxel in `Volumes`, or negative where a patch reaches out of the volume.
    """
    dims = len(size)
    start, corner, extent, stride = [], [], [], []
    for one, box in zip(draws, boxes, strict=True):
        place = one.place
        depth, height, width = box.shape
        steps = (height * width, width, 1)
        plane = 0 if place.plane is None else (place.plane - box.origin[0]) * steps[0]
        start.append(box.start + plane)
        at = drawn_corner(place.corner, patch_size, size)
        corner.append([c - o for c, o in zip(at, box.origin[-dims:], strict=True)])
        extent.append((depth, height, width)[-dims:])
        stride.append(steps[-dims:])
    lower, extents, strides = (
        np.take_along_axis(np.array(values, np.int64).reshape(len(draws), dims), axes, 1)
        for values in (corner, extent, stride)
    )
    offsets = []
    for axis, n in enumerate(size):
        one_axis = (slice(None), slice(axis, axis + 1))
        steps_along = np.where(reverse[one_axis], np.arange(n - 1, -1, -1), np.arange(n))
        voxel = lower[one_axis] + steps_along
        inside = (voxel >= 0) & (voxel < extents[one_axis])
        offsets.append(np.where(inside, voxel * strides[one_axis], _OUTSIDE))
    offsets[0] += np.array(start, np.int64)[:, None]
    return offsets


def gather(volumes: Volumes, offsets: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Read the patches of a batch.

    Args:
        volumes: Where from.
        offsets: As `gather_offsets` gives them, on the same device.

    Returns:
        The images (items, C, *size) float32, zero outside of the volume; the annotations
        (items, *size) as they are stored; and (items, *size) bool, whether a voxel is outside.
    """
    dims, index = len(offsets), offsets[0].view(-1, offsets[0].shape[1], *(1,) * (len(offsets) - 1))
    for axis, along in enumerate(offsets[1:], start=1):
        index = index + along.view(-1, *(along.shape[1] if a == axis else 1 for a in range(dims)))
    outside = index < 0
    index = index.clamp_(min=0)
    shape = (len(index), len(volumes.image), *index.shape[1:])
    image = torch.empty(shape, dtype=torch.float32, device=index.device)
    for channel, voxels in enumerate(volumes.image):
        image[:, channel] = voxels[index]
    return image.masked_fill_(outside[:, None], 0), volumes.annotation[index], outside
