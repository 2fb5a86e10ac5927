"""Seed global generators for code that knows no other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded_globally(rng: np.random.Generator) -> Iterator[None]:
    """Seed numpy's and torch's global CPU generators from `rng`, for the length of a block.

    Torch computes on one thread meanwhile, because sums over several threads round differently.
    Afterwards all is as it was.
    """
    numpy_seed, torch_seed = (int(s) for s in rng.integers(2**32, size=2))
    numpy_state = np.random.get_state()  # noqa: NPY002
    torch_state = torch.get_rng_state()
    threads = torch.get_num_threads()
    np.random.seed(numpy_seed)  # noqa: NPY002
    torch.default_generator.manual_seed(torch_seed)  # not torch.manual_seed: that seeds GPUs too
    if threads != 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.set_rng_state(torch_state)
        if threads != 1:
            torch.set_num_threads(threads)
