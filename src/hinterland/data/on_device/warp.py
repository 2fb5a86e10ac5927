"""Turn and scale the patches of a batch, all in one call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


def warp_table(
    matrix: NDArray[np.float64], patch_size: Sequence[int], drawn: Sequence[int]
) -> NDArray[np.float32]:
    """Bring matrices over voxels to the coordinates of `torch.nn.functional.affine_grid`.

    Args:
        matrix: (items, k, k) from offsets in the patch to offsets in what was drawn, in voxels
            along the last k axes.
        patch_size: Voxels of the patch.
        drawn: Voxels that were drawn for it.

    Returns:
        (items, k, k + 1): axes in the order x, y, z, each from -1 to 1.
    """
    k = matrix.shape[-1]
    out, source = (np.array(size[-k:], float) for size in (patch_size, drawn))
    scaled = matrix * out / source[:, None]
    theta = np.zeros((len(matrix), k, k + 1), np.float32)
    theta[:, :, :k] = scaled[:, ::-1, ::-1]
    return theta


def warp(images: Tensor, theta: Tensor, patch_size: Sequence[int], mode: str) -> Tensor:
    """Sample patches from what was drawn for them; outside of it is 0.

    Args:
        images: (items, C, *drawn) float32.
        theta: (items, k, k + 1) from `warp_table`. With k = 2 of volumes, slice by slice.
        patch_size: Voxels of the patches.
        mode: "bilinear" (in volumes too), or "nearest".

    Returns:
        (items, C, *patch_size).
    """
    k = theta.shape[1]
    flat = images.flatten(1, -k - 1)  # slices count as channels
    shape = [len(flat), flat.shape[1], *patch_size[-k:]]
    grid = F.affine_grid(theta, shape, align_corners=False)
    moved = F.grid_sample(flat, grid, mode=mode, padding_mode="zeros", align_corners=False)
    return moved.view(*images.shape[:2], *patch_size)
