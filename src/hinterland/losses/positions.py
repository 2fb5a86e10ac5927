"""Positions along an axis, kept where they are used: a list of them would be copied each time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor


def positions(chosen: Sequence[int], like: Tensor) -> Tensor:
    """Return positions as an index for a tensor, on its device.

    It is what `x[:, positions(cells, x)]` needs; `x[:, cells]` with a list is the same, but copies
    the list to the device and waits for it.
    """
    return _kept(tuple(chosen), like.device)


@lru_cache(maxsize=4096)
def _kept(chosen: tuple[int, ...], device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # what is first asked for there serves training, too
        return torch.tensor(chosen, dtype=torch.long, device=device)
