"""Sliding-window prediction: tiles, Gaussian weights, mirroring, bounded memory.

Tiles lie and are weighted as in nnU-Net, so that an exported model predicts the same in a plain
nnU-Net installation; sums are kept in float32, where nnU-Net rounds to float16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import lru_cache
from itertools import chain, combinations, product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor

TINY = 1e-30  # log of it is finite; no probability that matters is smaller


def tile_starts(size: int, tile: int, overlap: float = 0.5) -> list[int]:
    """Spread the first voxels of tiles evenly along an axis, at most tile (1 - overlap) apart.

    Args:
        size: voxels of the axis.
        tile: voxels of a tile.
        overlap: the least share of a tile that lies in the next.

    Returns:
        The first voxel of each tile, from 0.
    """
    if size <= tile:
        return [0]
    steps = int(np.ceil((size - tile) / (tile * (1 - overlap)))) + 1
    return [round((size - tile) * i / (steps - 1)) for i in range(steps)]


@lru_cache(maxsize=8)
def gaussian_weights(shape: tuple[int, ...]) -> np.ndarray:
    """Weigh each voxel of a tile: a Gaussian of sigma = size / 8 per axis, 1 at the centre."""
    axes = []
    for n in shape:
        distance = np.arange(n) - n // 2
        axes.append(np.exp(-(distance**2) / (2 * (n / 8) ** 2)))
    weights = axes[0]
    for axis in axes[1:]:
        weights = weights[..., None] * axis
    # the floor is nnU-Net's: its smallest float16 over its scale of ten
    return np.maximum(weights, 6e-9).astype(np.float32)


def sliding_window(
    model: Callable[[Tensor], Tensor],
    image: np.ndarray,
    tile: Sequence[int],
    *,
    mirror: Sequence[int] = (),
    overlap: float = 0.5,
    batch: int = 1,
    device: str | torch.device = "cpu",
    precision: str = "fp32",
) -> np.ndarray:
    """Predict log-probabilities of one preprocessed image.

    Tiles are averaged on the logarithm, which is the same as averaging logits: what the softmax
    took away is one constant a voxel.

    Args:
        model: (B, C, *tile) -> (B, cells, *tile) probabilities.
        image: float32 (C, z, y, x); with a 2D tile each slice is predicted by itself.
        tile: voxels of a tile along each axis.
        mirror: spatial axes of the tile (0 first) to average flips over.
        overlap: share of a tile that the next one covers again.
        batch: tiles per forward pass.
        device: where the model is.
        precision: "fp32", "bf16" or "fp16".

    Returns:
        float32 (cells, z, y, x), a log-softmax.
    """
    import torch

    tile = tuple(tile)
    flat = len(tile) == 2
    planes = image.transpose(1, 0, 2, 3) if flat else image[None]
    padded, inside = _pad(planes, tile)
    weights = torch.from_numpy(gaussian_weights(tile))
    total: Tensor | None = None
    weight = torch.zeros(padded.shape[2:])
    source = torch.from_numpy(np.array(padded, dtype=np.float32))  # a copy: maps are read-only
    starts = [tile_starts(n, t, overlap) for n, t in zip(padded.shape[2:], tile, strict=True)]
    boxes = [tuple(slice(a, a + t) for a, t in zip(p, tile, strict=True)) for p in product(*starts)]
    for box in boxes:
        weight[box] += weights
    for part in _batches([(plane, box) for plane in range(len(padded)) for box in boxes], batch):
        tiles = torch.stack([source[plane][(slice(None), *box)] for plane, box in part])
        logs = _mirrored(model, tiles.to(device), mirror, precision).cpu()
        if total is None:
            total = torch.zeros(len(padded), logs.shape[1], *padded.shape[2:])
        for (plane, box), log_p in zip(part, logs, strict=True):
            total[plane][(slice(None), *box)] += log_p * weights
    assert total is not None
    total = (total / weight)[(slice(None), slice(None), *inside)]
    result = total.log_softmax(dim=1)
    return (result.transpose(0, 1) if flat else result[0]).contiguous().numpy()


def _mirrored(
    model: Callable[[Tensor], Tensor], tiles: Tensor, mirror: Sequence[int], precision: str
) -> Tensor:
    """Average log-probabilities over all flips of `mirror`, float32."""
    import torch

    flips = chain.from_iterable(combinations(mirror, n) for n in range(len(mirror) + 1))
    total, count = None, 0
    with torch.inference_mode(), autocast(tiles.device, precision):
        for axes in flips:
            dims = [axis + 2 for axis in axes]
            p = model(tiles.flip(dims) if dims else tiles).float().clamp_min(TINY).log()
            p = p.flip(dims) if dims else p
            total, count = p if total is None else total + p, count + 1
    assert total is not None
    return total / count


def autocast(device: torch.device, precision: str) -> torch.autocast | nullcontext[None]:
    """Return the autocast context of a precision: "fp32", "bf16" or "fp16"."""
    import torch

    if precision == "fp32":
        return nullcontext()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(device.type, dtype=dtype)


def _pad(planes: np.ndarray, tile: tuple[int, ...]) -> tuple[np.ndarray, tuple[slice, ...]]:
    """Pad images smaller than a tile with zeros, and say where the image is in the result."""
    widths, inside = [(0, 0), (0, 0)], []
    for n, t in zip(planes.shape[2:], tile, strict=True):
        short = max(t - n, 0)
        widths.append((short // 2, short - short // 2))
        inside.append(slice(short // 2, short // 2 + n))
    return (np.pad(planes, widths) if any(map(sum, widths)) else planes), tuple(inside)


def _batches(items: list, size: int) -> Iterator[list]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
