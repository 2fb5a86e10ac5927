"""Which case each item of each training step is drawn from, and by which random numbers.

Every item has a *slot*: its place in the global batch of a step, over all processes. All that is
random about it comes from `(seed, phase, step, slot)`, so that a resumed run and a run on more
processes see the same items.

    one process, counts (2, 4)     slots  0 1 | 2 3 4 5
    two processes, counts (1, 2)   rank 0:  0 | 2 3        rank 1:  1 | 4 5
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from hinterland.types import HinterlandError


@dataclass(frozen=True)
class Stream:
    """A quota of a batch: `count` items per process and step, drawn from `cases` by name.

    A case is drawn uniformly among the stream's cases, with replacement, for each item; so large
    and small volumes are seen equally often, as in nnU-Net. `hidden`: as if no case had a label.
    """

    name: str
    cases: tuple[str, ...]
    count: int
    hidden: bool = False

    def __post_init__(self) -> None:
        if self.count < 0 or (self.count and not self.cases):
            raise HinterlandError(
                f"the batch quota {self.name!r} asks for {self.count} items from "
                f"{len(self.cases)} cases. Give it cases, or a count of 0."
            )


class SampleKey(NamedTuple):
    """One item of one step.

    `stream` is the position among the streams; `foreground` says that the patch is centred on
    annotated foreground where the case has any; `stage` is that of growing patches, else 0.
    """

    step: int
    slot: int
    stream: int
    foreground: bool
    stage: int = 0


def oversampled(count: int, share: float) -> int:
    """Return how many of `count` items are centred on foreground.

    It is nnU-Net's count - round(count (1 - share)), but at least one where share > 0.
    """
    if count == 0 or share <= 0:
        return 0
    return max(1, count - round(count * (1 - share)))


def step_keys(
    step: int, streams: Sequence[Stream], rank: int, world: int, share: float, stage: int = 0
) -> list[SampleKey]:
    """Return the items of one step that fall to one process, stream by stream.

    The last `oversampled(world * count, share)` items of each stream's global quota are centred on
    foreground.

    Args:
        step: of the phase, from 0.
        streams: what a batch is composed of.
        rank: of this process, from 0.
        world: how many processes share the step.
        share: of each stream that is centred on foreground, from 0 to 1.
        stage: of growing patches.

    Returns:
        One key an item, as many as the streams count together.
    """
    keys, first = [], 0
    for index, stream in enumerate(streams):
        total = world * stream.count
        random_until = total - oversampled(total, share)
        for place in range(rank * stream.count, (rank + 1) * stream.count):
            keys.append(SampleKey(step, first + place, index, place >= random_until, stage))
        first += total
    return keys


class StepSampler(Sampler[list[SampleKey]]):
    """Batch sampler: for the steps [start, steps), the keys of this process's items.

    For `DataLoader(batch_sampler=...)`; give Lightning `use_distributed_sampler=False`.
    foreground_share: share of each stream's global quota that is centred on foreground.
    stage: the stage of growing patches at a step, asked when its batch is begun.
    """

    def __init__(
        self,
        streams: Sequence[Stream],
        steps: int,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
        foreground_share: float = 0.33,
        stage: Callable[[int], int] = lambda step: 0,
    ) -> None:
        if not 0 <= rank < world:
            raise ValueError(f"rank {rank} of {world} processes")
        if not any(stream.count for stream in streams):
            raise HinterlandError(
                "the batch is empty: every quota has a count of 0. Set batch_size to 1 or more."
            )
        self.streams, self.steps, self.start = tuple(streams), steps, start
        self.rank, self.world, self.foreground_share = rank, world, foreground_share
        self.stage = stage

    def __len__(self) -> int:
        return max(0, self.steps - self.start)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        for step in range(self.start, self.steps):
            yield step_keys(
                step, self.streams, self.rank, self.world, self.foreground_share, self.stage(step)
            )


def sample_generator(seed: int, phase: int, step: int, slot: int) -> np.random.Generator:
    """Return the generator that everything random about one item is drawn from.

    Args:
        seed: of the run.
        phase: index of the phase.
        step: of the phase, from 0.
        slot: place of the item in the global batch.

    Returns:
        The generator, the same however many processes there are.
    """
    return np.random.default_rng([seed, phase, step, slot])
