"""Sliding-window prediction: tiles, Gaussian weights, bounded memory.

Tiles lie and are weighted as in nnU-Net, so that an exported model predicts the same in a plain
nnU-Net installation; sums are kept in float32, where nnU-Net rounds to float16.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hinterland.inference.forward import Forward, Place
from hinterland.inference.slabs import LiveSlab, Slab
from hinterland.inference.tiling import Tiling


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
    **options: Any,
) -> np.ndarray:
    """Predict log-probabilities of one preprocessed image, all in memory.

    Args:
        model: see `window_slabs`, as the following.
        image: float32 (C, z, y, x).
        tile: voxels of a tile along each axis.
        options: mirror, overlap, batch, device, precision.

    Returns:
        float32 (cells, z, y, x), a log-softmax.
    """
    return assembled(window_slabs(model, image, tile, **options), image.shape[1:])


def assembled(slabs: Iterable[Slab], shape: Sequence[int]) -> np.ndarray:
    """Lay slabs together: float32 (groups, *shape), `shape` being the image's (z, y, x)."""
    out: np.ndarray | None = None
    for axis, start, logs in slabs:
        out = np.empty((len(logs), *shape), np.float32) if out is None else out
        box: list[slice] = [slice(None)] * 4
        box[1 + axis] = slice(start, start + logs.shape[1 + axis])
        out[tuple(box)] = logs.cpu().numpy()
    assert out is not None
    return out


def window_slabs(
    model: Callable[[Tensor], Tensor],
    image: np.ndarray,
    tile: Sequence[int],
    *,
    mirror: Sequence[int] = (),
    overlap: float = 0.5,
    batch: int = 1,
    device: str | torch.device = "cpu",
    precision: str = "fp32",
    parts: Sequence[int] = (),
    only: Collection[Place] | None = None,
    outside: Sequence[float] = (),
) -> Iterator[Slab]:
    """Predict log-probabilities of one preprocessed image, slab by slab along an axis.

    Tiles are averaged on the logarithm, which is the same as averaging logits: what the softmax
    took away is one constant a voxel. Beside the image, one tile's depth of averages is in memory,
    however long the axis is.

    Args:
        model: (B, C, *tile) -> (B, cells, *tile) probabilities.
        image: float32 (C, z, y, x); with a 2D tile each slice is predicted by itself.
        tile: voxels of a tile along each axis.
        mirror: spatial axes of the tile (0 first) to average flips over.
        overlap: share of a tile that the next one covers again.
        batch: tiles per forward pass.
        device: where the model is.
        precision: "fp32", "bf16" or "fp16".
        parts: where the channels answer several questions, how many of them each has; the softmax
            is over the channels of one.
        only: the places of those tiles (`Tiling.places`) that are predicted; None is all.
        outside: with `only`, the log-probability of each channel where none of them lies.

    Yields:
        Consecutive slabs of float32 log-softmax values, which together are the whole image.
    """
    flat = len(tile) == 2
    tiling = Tiling.of(image.shape[1:], tile, overlap)
    size, shape, before, axis = tiling.size, tiling.shape, tiling.before, tiling.axis
    places = [place for place in tiling.places if only is None or place in only]
    weights = torch.from_numpy(gaussian_weights(size))

    def tile_at(place: Place) -> np.ndarray:
        cut = _cut(image, [a - b for a, b in zip(place, before, strict=True)], size)
        return cut[:, 0] if flat else cut

    forward = Forward(model, mirror, batch, torch.device(device), precision)
    live: LiveSlab | None = None
    for place, answer in forward.answers(places, tile_at, weights[0] if flat else weights):
        logs = answer[:, None] if flat else answer
        if live is None:
            live = LiveSlab(
                shape, weights, axis, tiling.inside, parts or [len(logs)], logs.device, outside
            )
        yield from live.finish(place[axis])
        live.add(place, logs)
    assert live is not None
    yield from live.finish(shape[axis])


def _cut(image: np.ndarray, start: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """Return the tile of (C, z, y, x) that begins at `start`; zero where the image is not."""
    stop = [a + t for a, t in zip(start, size, strict=True)]
    part = image[(slice(None), *(slice(max(a, 0), b) for a, b in zip(start, stop, strict=True)))]
    if part.shape[1:] == tuple(size):
        return np.ascontiguousarray(part, dtype=np.float32)
    out = np.zeros((len(image), *size), np.float32)
    into = (slice(max(-a, 0), max(-a, 0) + n) for a, n in zip(start, part.shape[1:], strict=True))
    out[(slice(None), *into)] = part
    return out
