"""Averages of overlapping tiles, of which only a slab one tile deep is held at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

PIECE = 2**20
"""Values that are given out at once: 4 MiB."""

GPU_SHARE = 0.8
"""Of a GPU's free memory, the most that the sums may take."""


class Slab(NamedTuple):
    """A part of a predicted image that is final.

    `logs`, (groups, z, y, x), begins at voxel `start` of `axis` (0 is z) and is the whole image
    along the others.
    """

    axis: int
    start: int
    logs: Tensor


def slab_axis(shape: Sequence[int], tile: Sequence[int]) -> int:
    """Return the axis along which the fewest voxels are alive: the one of most tiles' lengths."""
    lengths = [n / t for n, t in zip(shape, tile, strict=True)]
    return lengths.index(max(lengths))


def sums_device(device: torch.device, values: int) -> torch.device:
    """Return where `values` float32 numbers are summed: on the GPU if it has room, or the host."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if 4 * values <= GPU_SHARE * free:
            return device
    return torch.device("cpu")


class LiveSlab:
    """Sum weighted tiles that come in order of their first voxel along one axis.

    The mean of a voxel's log-probabilities, sum_t w_t log p_t / sum_t w_t over the tiles t that
    cover it, is final once a tile begins behind it; it is then given out and forgotten.

    Args:
        shape: voxels of the (padded) image, (z, y, x).
        weights: of a tile's voxels, (z, y, x).
        axis: along which tiles come in order.
        inside: where the image lies in the padded one.
        parts: channels of the predictions, question by question.
        device: where the predictions are.
        outside: the log-probability of each channel where no tile lies; empty where tiles cover
            all.
    """

    def __init__(
        self, shape: Sequence[int], weights: Tensor, axis: int, inside: Sequence[slice],
        parts: Sequence[int], device: torch.device, outside: Sequence[float] = (),
    ) -> None:  # fmt: skip
        self._axis, self._inside, self._low = axis, inside, 0
        self._parts, groups = list(parts), sum(parts)
        self._tile = tuple(weights.shape)
        self._depth = weights.shape[axis]
        alive = list(shape)
        alive[axis] = self._depth
        self._plane = groups * alive[0] * alive[1] * alive[2] // self._depth
        # what is given out is computed there, too: two pieces
        self.device = sums_device(device, (self._plane * self._depth * 3) // 2 + 2 * PIECE)
        self._weights = weights.to(self.device)
        self._outside = torch.tensor(outside, device=self.device)[:, None, None, None]
        with torch.inference_mode():
            self._total = torch.zeros(groups, *alive, device=self.device)
            self._weight = torch.zeros(1, *alive, device=self.device)

    def add(self, place: Sequence[int], logs: Tensor) -> None:
        """Add a tile's weighted log-probabilities, (groups, z, y, x), at its first voxel."""
        first = list(place)
        first[self._axis] -= self._low
        box = (slice(None), *(slice(a, a + t) for a, t in zip(first, self._tile, strict=True)))
        with torch.inference_mode():
            self._total[box] += logs.to(self.device)
            self._weight[box] += self._weights

    def finish(self, start: int) -> Iterator[Slab]:
        """Give out all voxels before `start` of the axis, a few slices at a time."""
        while (ready := start - self._low) > self._depth:  # no tile lies there
            yield from self.finish(self._low + self._depth)
        if ready <= 0:
            return
        first, last = self._inside[self._axis].start, self._inside[self._axis].stop
        step = max(1, PIECE // self._plane)
        low, high = max(self._low, first), min(start, last)
        for a in range(low, high, step):
            yield Slab(self._axis, a - first, self._mean(a - self._low, min(step, high - a)))
        self._shift(ready)
        self._low = start

    def _mean(self, start: int, length: int) -> Tensor:
        box: list[slice] = [slice(None), *self._inside]
        box[1 + self._axis] = slice(start, start + length)
        with torch.inference_mode():
            mean = self._total[tuple(box)] / self._weight[tuple(box)]
            questions = [part.log_softmax(dim=0) for part in mean.split(self._parts)]
            logs = torch.cat(questions) if len(questions) > 1 else questions[0]
            if not len(self._outside):
                return logs
            return torch.where(self._weight[tuple(box)] > 0, logs, self._outside)

    def _shift(self, ready: int) -> None:
        """Move what is not final to the front, in pieces that do not overlap their places."""
        with torch.inference_mode():
            for sums in (self._total, self._weight):
                lines = sums.movedim(1 + self._axis, 0)
                for a in range(ready, self._depth, ready):
                    piece = lines[a : a + ready]
                    lines[a - ready : a - ready + len(piece)] = piece
                lines[max(0, self._depth - ready) :] = 0
