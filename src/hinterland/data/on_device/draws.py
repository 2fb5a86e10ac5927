"""What is in a batch: for each item its place, and the random numbers of its augmentation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hinterland.data.sampling.patches import PatchDataset
from hinterland.data.sampling.places import Outline, Place
from hinterland.data.sampling.sampler import SampleKey, sample_generator


@dataclass(frozen=True)
class Draw:
    """One item before it is made.

    Attributes:
        key: What it was drawn for.
        place: Where it lies; the same as that of the patch that `PatchDataset` gives for the key.
        numbers: (n,) uniform in [0, 1), from which augmentation takes what it needs.
        seed: Of the generator for noise.
    """

    key: SampleKey
    place: Place
    numbers: NDArray[np.float64]
    seed: int


def draw(data: PatchDataset, key: SampleKey, outline: Callable[[str], Outline], count: int) -> Draw:
    """Draw the item of a key; all that is random about it comes from (seed, phase, step, slot).

    Args:
        data: The cases and rules.
        key: The item.
        outline: Gives the outline of a case by name.
        count: How many random numbers augmentation needs.

    Returns:
        What was drawn: the place, the numbers of augmentation, and a seed for noise.
    """
    rng = sample_generator(data.seed, data.phase, key.step, key.slot)
    case = data.draw_case(rng, data.streams[key.stream])
    place = data.place(rng, case, key, outline(case.name))
    return Draw(key, place, rng.random(count), int(rng.integers(2**62)))
