"""The way back from a network's grid to a file's, slab by slab and channel by channel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hinterland.data.preprocessing.geometry import Geometry
from hinterland.data.preprocessing.resample import AxisMap
from hinterland.inference.slabs import Slab

PIECE = 2**20
"""Voxels that are resampled at a time: 4 MiB a channel, which stays near the processor."""


@dataclass(frozen=True)
class Part:
    """Some slices of the file's crop, and what they are made of.

    `source` (groups, z, y, x) holds all that `steps` need; `box` is where the slices lie in the
    crop, in the network's order of axes.
    """

    box: tuple[slice, slice, slice]
    source: Tensor
    steps: Sequence[_Step]

    def channel(self, index: int, values: Tensor | None = None) -> Tensor:
        """Return one channel, float32 (z, y, x), on the file's grid; of `source`, or of `values`.

        Args:
            index: of the group.
            values: another function of the network's answer, as large as `source`.

        Returns:
            The channel.
        """
        out = (self.source if values is None else values)[index]
        for step in self.steps:
            out = step(out)
        return out


@dataclass(frozen=True)
class _Step:
    """Interpolation along one axis."""

    axis: int
    low: Tensor
    high: Tensor
    weight: Tensor
    linear: bool

    def __call__(self, values: Tensor) -> Tensor:
        below = values.index_select(self.axis, self.low)
        if not self.linear:
            return below
        above = values.index_select(self.axis, self.high)
        return below + self.weight * (above - below)


def restored(slabs: Iterable[Slab], geometry: Geometry) -> Iterator[Part]:
    """Undo resampling as `Geometry.undo` does, as soon as a slab allows it.

    The last slices of a slab wait for the first of the next, between which the file has some.

    Args:
        slabs: of the network's predictions, in order.
        geometry: of the preprocessed image.

    Yields:
        Consecutive parts of the file's crop.
    """
    waiting: Tensor | None = None
    first = done = 0
    fixed: list[_Step] = []
    for axis, start, logs in slabs:
        along = geometry.way_back[axis]
        if waiting is None:
            fixed = [
                _step(a, places, 0, logs.device)
                for a, places in enumerate(geometry.way_back)
                if a != axis and geometry.shape[a] != geometry.cropped_shape[a]
            ]
            waiting, first = logs, start
        else:
            waiting = torch.cat([waiting, logs], dim=1 + axis) if waiting.numel() else logs
        end = start + logs.shape[1 + axis]
        ready = int(np.searchsorted(along.high, end))
        step = max(1, PIECE * geometry.cropped_shape[axis] // int(np.prod(geometry.cropped_shape)))
        for a in range(done, ready, step):
            b = min(a + step, ready)
            low, high = int(along.low[a]), int(along.high[b - 1]) + 1
            chosen = AxisMap(along.low[a:b], along.high[a:b], along.weight[a:b])
            moving = _step(axis, chosen, low, logs.device)
            box = [slice(0, n) for n in geometry.cropped_shape]
            box[axis] = slice(a, b)
            same = geometry.shape[axis] == geometry.cropped_shape[axis]
            yield Part(
                (box[0], box[1], box[2]),
                waiting.narrow(1 + axis, low - first, high - low),
                _in_order(fixed if same else [*fixed, moving], geometry),
            )
        done = ready
        needed = min(int(along.low[done]) if done < len(along.low) else end, end)
        waiting = waiting.narrow(1 + axis, needed - first, end - needed).clone()
        first = needed


def _step(axis: int, places: AxisMap, start: int, device: torch.device) -> _Step:
    weight = torch.from_numpy(places.weight).to(device)
    return _Step(
        axis,
        torch.from_numpy(places.low - start).to(device),
        torch.from_numpy(places.high - start).to(device),
        weight.reshape([-1 if a == axis else 1 for a in range(3)]),
        bool(places.weight.any()),
    )


def _in_order(steps: Sequence[_Step], geometry: Geometry) -> list[_Step]:
    """Sort interpolations by axis, so that numbers round as in `Geometry.undo`.

    Choosing slices rounds nothing: it comes first where it leaves fewer of them, else last.
    """

    def place(step: _Step) -> int:
        if step.linear:
            return step.axis
        return 3 if geometry.cropped_shape[step.axis] > geometry.shape[step.axis] else -1

    return sorted(steps, key=place)


def most_probable(part: Part, values: Tensor | None = None) -> Tensor:
    """Return the index of the largest channel for each voxel, the first of equals: uint8 or int16.

    Channels are restored one at a time, so that they are never all held.

    Args:
        part: of the file's crop.
        values: see `Part.channel`.

    Returns:
        Indices (z, y, x).
    """
    groups = len(part.source if values is None else values)
    best = part.channel(0, values)
    index = torch.zeros(best.shape, dtype=torch.uint8 if groups <= 256 else torch.int16,
                        device=best.device)  # fmt: skip
    for group in range(1, groups):
        found = part.channel(group, values)
        index.masked_fill_(found > best, group)
        best = torch.maximum(best, found)
    return index


@dataclass(frozen=True)
class Channels:
    """The channels of a prediction that are the groups of one question.

    `values` holds each group's integer in the result's type, `background` is the index of a group,
    `first` the channel of the first group.
    """

    values: np.ndarray
    background: int = 0
    first: int = 0

    def __call__(self, logs: Tensor) -> Tensor:
        """Return the question's channels of (channels, ...)."""
        return logs[self.first : self.first + len(self.values)]


def restored_labels(
    slabs: Iterable[Slab],
    geometry: Geometry,
    questions: Sequence[Channels],
    probabilities: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Return the value of the most probable group for each voxel of the file, a question a label.

    Interpolation is linear, of log-probabilities (nearest slice along a thick axis). Outside the
    crop, where the image is zero, the answer is a question's `background`.

    Args:
        slabs: log-probabilities (channels, ...) of the preprocessed image.
        geometry: how it came from the file.
        questions: what is decoded.
        probabilities: if given, (groups of the first question, z, y, x) of the file's shape,
            float32, that is filled with interpolated probabilities; its background is 1 outside
            the crop.

    Returns:
        For each question (z, y, x) in the order and shape of the file.
    """
    shape = geometry.original_shape
    out = [np.full(shape, q.values[q.background], q.values.dtype) for q in questions]
    labels = [geometry.crop(label) for label in out]
    if probabilities is not None:
        probabilities[...] = 0
        probabilities[questions[0].background] = 1
        crop = geometry.crop(probabilities)
    with torch.inference_mode():
        for part in restored(slabs, geometry):
            for question, label in zip(questions, labels, strict=True):
                index = most_probable(part, question(part.source))
                label[part.box] = question.values[index.cpu().numpy()]
            if probabilities is not None:
                p = questions[0](part.source).exp()
                channels = [part.channel(group, p) for group in range(len(p))]
                total = sum(channels)
                for channel, place in zip(channels, crop, strict=True):
                    place[part.box] = (channel / total).cpu().numpy()
    return out
