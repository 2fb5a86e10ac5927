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

AXIS = 4
"""Columns that a table has for each axis of the patch: first voxel, direction, extent, stride."""


def gather_table(
    draws: Sequence[Draw],
    boxes: Sequence[Box],
    axes: NDArray[np.int64],
    reverse: NDArray[np.bool_],
    patch_size: Sequence[int],
    size: Sequence[int],
) -> NDArray[np.int64]:
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
        (items, 1 + 4 d): the first voxel of the item's box, then for each axis of the patch the
        voxel in the box to begin with, the direction, the box's extent and its stride.
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
    shape = (len(draws), dims)
    lower, extents, strides = (
        np.take_along_axis(np.array(values, np.int64).reshape(shape), axes, 1)
        for values in (corner, extent, stride)
    )
    first = lower + np.where(reverse, np.array(size) - 1, 0)
    columns = np.stack([first, np.where(reverse, -1, 1), extents, strides], 2)
    starts = np.array(start, np.int64)[:, None]
    return np.concatenate([starts, columns.reshape(len(draws), AXIS * dims)], 1)


def gather(volumes: Volumes, table: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Read the patches of a batch.

    Args:
        volumes: Where from.
        table: (items, 1 + 4 d) as `gather_table` gives it, on the same device.
        size: Voxels of the patches.

    Returns:
        The images (items, C, *size) float32, zero outside of the volume; the annotations
        (items, *size) as they are stored; and (items, *size) bool, whether a voxel is inside.
    """
    dims = len(size)
    index = table[:, 0].view(-1, *(1,) * dims)
    inside = torch.ones_like(index, dtype=torch.bool)
    for axis, n in enumerate(size):
        columns = table[:, 1 + AXIS * axis : 1 + AXIS * (axis + 1), None]
        first, direction, extent, stride = columns.unbind(1)
        at = first + direction * torch.arange(n, device=table.device)
        shape = (-1, *(n if a == axis else 1 for a in range(dims)))
        inside = inside & ((at >= 0) & (at < extent)).view(shape)
        index = index + (at.clamp(min=0).minimum(extent - 1) * stride).view(shape)
    image = torch.empty(
        (len(table), len(volumes.image), *size), dtype=torch.float32, device=table.device
    )
    for channel, voxels in enumerate(volumes.image):
        image[:, channel] = voxels[index]
    image.masked_fill_(~inside[:, None], 0)
    return image, volumes.annotation[index], inside
