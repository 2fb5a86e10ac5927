"""A network's answers to the tiles of an image: batches, mirroring, precision, memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain, combinations
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

TINY = 1e-30
"""The log of it is finite; no probability that matters is smaller."""

Place = tuple[int, int, int]


def autocast(device: torch.device, precision: str) -> torch.autocast | nullcontext[None]:
    """Return the autocast context of a precision: "fp32", "bf16" or "fp16"."""
    if precision == "fp32":
        return nullcontext()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(device.type, dtype=dtype)


@dataclass
class Forward:
    """Predict tiles.

    `batch` tiles are predicted at a time; it is halved when the device's memory does not suffice.
    A tile of one value (air that was clipped, the zeros around a masked brain) is predicted once:
    the network's answer to the same input is the same wherever the tile lies.

    Args:
        model: (B, C, *tile) -> (B, groups, *tile) probabilities.
        mirror: spatial axes of the tile (0 first) to average flips over.
        batch: tiles per forward pass.
        device: where the model is.
        precision: "fp32", "bf16" or "fp16".
    """

    model: Callable[[Tensor], Tensor]
    mirror: Sequence[int]
    batch: int
    device: torch.device
    precision: str
    _uniform: Tensor | None = field(default=None, init=False)

    def answers(
        self, places: Iterable[Place], tile_at: Callable[[Place], np.ndarray], weights: Tensor
    ) -> Iterator[tuple[Place, Tensor]]:
        """Predict the tile at each place.

        Args:
            places: first voxels.
            tile_at: returns the tile at a place, (C, *tile).
            weights: of its voxels.

        Yields:
            Each place, in order, and its log-probabilities times the weights, (groups, *tile).
        """
        # sums of other devices lie on the host (`sums_device`): one wait a batch, not one a tile
        weights = weights.to(self.device if self.device.type == "cuda" else "cpu")
        known: tuple[float, ...] | None = None  # the value of the first tile that has only one
        waiting: list[_Waiting] = []
        for place in places:
            tile = tile_at(place)
            value = _only_value(tile)
            again = value is not None and value == known
            known = known or value
            waiting.append(_Waiting(place, None if again else tile, value is not None))
            if sum(w.tile is not None for w in waiting) == self.batch:
                yield from self._answer(waiting, weights)
                waiting = []
        yield from self._answer(waiting, weights)

    def _answer(
        self, waiting: Sequence[_Waiting], weights: Tensor
    ) -> Iterator[tuple[Place, Tensor]]:
        fresh = self._predict([w.tile for w in waiting if w.tile is not None], weights)
        for place, tile, uniform in waiting:
            if tile is None:
                assert self._uniform is not None
                yield place, self._uniform
                continue
            logs = next(fresh)
            if uniform and self._uniform is None:
                self._uniform = logs.clone()
            yield place, logs

    def _predict(self, tiles: Sequence[np.ndarray], weights: Tensor) -> Iterator[Tensor]:
        done = 0
        while done < len(tiles):
            part = np.stack(tiles[done : done + self.batch])
            try:
                logs = self._weighted(torch.from_numpy(part), weights)
            except torch.OutOfMemoryError:
                if len(part) == 1:
                    raise
                self.batch = len(part) // 2
                torch.cuda.empty_cache()
                continue
            yield from logs
            done += len(part)

    def _weighted(self, tiles: Tensor, weights: Tensor) -> Tensor:
        """Average log-probabilities over all flips of `mirror`, float32, and weight them."""
        flips = chain.from_iterable(
            combinations(self.mirror, n) for n in range(1 + len(self.mirror))
        )
        total, count = None, 0
        tiles = tiles.to(self.device)
        with torch.inference_mode(), autocast(self.device, self.precision):
            for axes in flips:
                dims = [axis + 2 for axis in axes]
                p = self.model(tiles.flip(dims) if dims else tiles).float()
                p = p.clamp_min(TINY).log_()
                p = p.flip(dims) if dims else p
                total, count = p if total is None else total.add_(p), count + 1
            assert total is not None
            return total.div_(count).to(weights.device).mul_(weights)


class _Waiting(NamedTuple):
    place: Place
    tile: np.ndarray | None  # None: the answer is known, or will be before its turn
    uniform: bool


def _only_value(tile: np.ndarray) -> tuple[float, ...] | None:
    """Return the value of each channel of (C, ...) that has one value only, or None."""
    flat = tile.reshape(len(tile), -1)
    first = flat[:, :1]
    # most tiles differ from their first voxel soon
    if (flat[:, : 2**12] != first).any() or (flat != first).any():
        return None
    return tuple(first[:, 0].tolist())
