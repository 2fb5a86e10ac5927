"""Stitch the feature map of a whole image from those of its tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import torch
from torch import Tensor

from hinterland.inference.forward import autocast
from hinterland.inference.tiling import tile_starts
from hinterland.inference.window import gaussian_weights


def stitched_features(
    encode: Callable[[Tensor], Tensor],
    image: np.ndarray,
    tile: Sequence[int],
    stride: Sequence[int],
    *,
    overlap: float = 0.5,
    device: str | torch.device = "cpu",
    precision: str = "fp32",
) -> np.ndarray:
    """Compute the feature map of one preprocessed image.

    Tiles start at multiples of `stride` and are averaged with the
    Gaussian weights of segmentation. Zeros pad the image behind to a multiple of `stride`, and to
    the size of a tile.

    Args:
        encode: (1, C, *tile) -> (1, F, *tile / stride).
        image: float32 (C, z, y, x); with a 2D tile each slice is encoded by itself.
        tile: voxels, one number an axis.
        stride: of the feature map, one number an axis.
        overlap: share of a tile that lies in the next.
        device: of the network.
        precision: "fp32" or "bf16".

    Returns:
        float32 (F, z, y, x) on the coarser grid, the padding cut off.
    """
    tile, stride = tuple(tile), tuple(stride)
    flat = len(tile) == 2
    planes = image.transpose(1, 0, 2, 3) if flat else image[None]
    shape = planes.shape[2:]
    size = [max(t, -(-n // s) * s) for n, t, s in zip(shape, tile, stride, strict=True)]
    pad = [(0, 0), (0, 0), *((0, n - m) for n, m in zip(size, shape, strict=True))]
    source = torch.from_numpy(np.pad(np.array(planes, np.float32), pad))
    starts = [
        sorted({a // s for a in tile_starts(n, t, overlap)} | {(n - t) // s})
        for n, t, s in zip(size, tile, stride, strict=True)
    ]
    cells = tuple(t // s for t, s in zip(tile, stride, strict=True))
    weights = torch.from_numpy(gaussian_weights(cells))
    coarse = [n // s for n, s in zip(size, stride, strict=True)]
    total: Tensor | None = None
    weight = torch.zeros(coarse)
    for index, plane in enumerate(source):
        for place in product(*starts):
            fine = tuple(
                slice(a * s, a * s + t) for a, s, t in zip(place, stride, tile, strict=True)
            )
            box = tuple(slice(a, a + n) for a, n in zip(place, cells, strict=True))
            part = plane[(slice(None), *fine)][None].to(device)
            with torch.inference_mode(), autocast(part.device, precision):
                found = encode(part)[0].float().cpu()
            if total is None:
                total = torch.zeros(len(source), len(found), *coarse)
            total[index][(slice(None), *box)] += found * weights
            if index == 0:
                weight[box] += weights
    assert total is not None
    inside = tuple(slice(-(-n // s)) for n, s in zip(shape, stride, strict=True))
    result = (total / weight)[(slice(None), slice(None), *inside)]
    return (result.transpose(0, 1) if flat else result[0]).contiguous().numpy()
