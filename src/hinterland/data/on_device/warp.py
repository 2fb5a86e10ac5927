"""Turn and scale the patches of a batch, all in one call."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


def warp_table(
    matrix: NDArray[np.float64], patch_size: Sequence[int], drawn: Sequence[int]
) -> NDArray[np.float32]:
    """Bring matrices from offsets in voxels to offsets as `grid_sample` counts them.

    Args:
        matrix: (items, k, k) from offsets in the patch to offsets in what was drawn, in voxels
            along the last k axes.
        patch_size: Voxels of the patch.
        drawn: Voxels that were drawn for it.

    Returns:
        (items, k, k), where a patch, and what was drawn, reach from -1 to 1 along each axis.
    """
    k = matrix.shape[-1]
    out, source = (np.array(size[-k:], float) for size in (patch_size, drawn))
    return (matrix * out / source[:, None]).astype(np.float32)


def warp_grid(theta: Tensor, size: Sequence[int]) -> Tensor:
    """Return where each voxel of a patch comes from, (items, *size, k) in the order x, y, z.

    As `affine_grid`, but without a matrix product: that may be rounded to 10 bits on a device
    (TF32), which is a tenth of a voxel.
    """
    k = len(size)
    ends = [
        torch.linspace(1 / n - 1, 1 - 1 / n, n, device=theta.device).view(
            [-1 if a == axis else 1 for a in range(k)]
        )
        for axis, n in enumerate(size)
    ]
    entries = theta.view(-1, k, k, *(1,) * k)
    terms = [[entries[:, row, a] * ends[a] for a in range(k)] for row in reversed(range(k))]
    return torch.stack([reduce(torch.add, each) for each in terms], -1)


def warp(images: Tensor, grid: Tensor, mode: str) -> Tensor:
    """Sample patches from what was drawn for them; outside of it is 0.

    Args:
        images: (items, C, *drawn) float32.
        grid: (items, *size, k) from `warp_grid`. With k = 2 of volumes, slice by slice.
        mode: "bilinear" (in volumes too), or "nearest".

    Returns:
        (items, C, *patch).
    """
    k = grid.shape[-1]
    flat = images.flatten(1, -k - 1)  # slices count as channels
    moved = F.grid_sample(flat, grid, mode=mode, padding_mode="zeros", align_corners=False)
    return moved.view(*images.shape[:-k], *grid.shape[1:-1])
