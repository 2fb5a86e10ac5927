"""Choose some of many places, without asking how many there are to choose from.

The number of places that fit is known to the device alone; a list of them would make the host wait.
So a choice has a fixed length, and says which of its places fit.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def highest(
    values: Float[Tensor, " places"], fit: Bool[Tensor, " places"], count: int
) -> tuple[Int[Tensor, " chosen"], Bool[Tensor, " chosen"]]:
    """Return the places of the highest values among those that fit, highest first.

    Args:
        values: one a place.
        fit: whether a place may be chosen.
        count: how many are chosen at most.

    Returns:
        The places, min(count, places) of them, and which of them fit: the first ones.
    """
    found = values.masked_fill(~fit, float("-inf")).topk(min(count, len(values)))
    return found.indices, fit[found.indices]


def some(
    fit: Bool[Tensor, " places"], count: int
) -> tuple[Int[Tensor, " chosen"], Bool[Tensor, " chosen"]]:
    """Return places that fit, drawn without putting back, as `highest` returns them."""
    return highest(torch.rand(len(fit), device=fit.device), fit, count)
