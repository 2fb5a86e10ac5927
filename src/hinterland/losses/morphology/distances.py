"""Exact Euclidean distances to a mask, in torch: nothing is copied to the host."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

FAR = 1e10
"""Squared distance of a voxel from which no end is seen."""
LOOK = 8  # offsets between two looks, on a CPU, at whether there is anything left to improve


def distances(mask: Bool[Tensor, "batch *space"]) -> Float[Tensor, "batch *space"]:
    """Return the distance in voxels of each True voxel to the nearest False one of its item.

    At least 10^5 where the item has no False voxel, and 0 on False voxels.
    """
    if mask.device.type == "cpu" and mask.ndim == 3:  # measured: half the time for planes
        found = np.stack([ndimage.distance_transform_edt(item) for item in mask.numpy()])
        whole = mask.flatten(1).all(dim=1)[:, None, None]
        return torch.where(whole, FAR**0.5, torch.from_numpy(found).float())
    return squared_distances(mask).sqrt()


def squared_distances(
    mask: Bool[Tensor, "batch *space"], spacing: Sequence[float] | None = None
) -> Float[Tensor, "batch *space"]:
    """Return the squared distance of each True voxel to the nearest False one of its item.

    The squared distance is a sum over axes, so that its minimum is found axis by axis:
    D_0(v) = 0 outside of the mask, else infinite, and
    D_a(v) = min_k D_{a-1}(v + k e_a) + (k s_a)^2, s the spacing. One line is a running maximum; the
    other axes take as many steps of two additions and minima as they have voxels. Exact: with
    voxels of size 1 all numbers are integers below 2^24.

    Args:
        mask: (batch, *space), on any device; every item is an object of its own.
        spacing: size of a voxel along each axis; default 1.

    Returns:
        Float32; 0 on False voxels, and at least `FAR` where the item has no False voxel.
    """
    axes = range(1, mask.ndim)
    sizes = [1.0] * len(axes) if spacing is None else [float(s) for s in spacing]
    *others, last = zip(axes, sizes, strict=True)
    found = _along_lines(mask, *last)
    for axis, size in others:
        found = _improved(found, axis, size)
    return found


def _along_lines(mask: Tensor, axis: int, size: float) -> Tensor:
    """Return the squared distance to the nearest False voxel of the same line, or 2 FAR."""
    n = mask.shape[axis]
    shape = [1] * mask.ndim
    shape[axis] = n
    at = torch.arange(n, device=mask.device, dtype=torch.float32).view(shape)
    before = torch.where(mask, -FAR, at).cummax(dim=axis).values
    after = torch.where(mask, FAR, at).flip(axis).cummin(dim=axis).values.flip(axis)
    steps = torch.minimum(at - before, after - at)
    return torch.where(steps < n, (steps * size).square(), 2 * FAR)


def _improved(found: Tensor, axis: int, size: float) -> Tensor:
    """Return min_k found(v + k e_axis) + (k size)^2."""
    n = found.shape[axis]
    best = found.clone()
    for k in range(1, n):
        cost = (k * size) ** 2
        # An offset whose cost alone is above the largest distance helps nowhere. An accelerator
        # would have to be waited for to know.
        if k % LOOK == 0 and found.device.type == "cpu" and cost >= float(best.max()):
            break
        for here, there in ((k, 0), (0, k)):
            part = best.narrow(axis, here, n - k)
            torch.minimum(part, found.narrow(axis, there, n - k) + cost, out=part)
    return best
