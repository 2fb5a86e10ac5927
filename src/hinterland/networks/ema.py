"""The exponential moving average of a model: the teacher of the mean-teacher family."""

from __future__ import annotations

from copy import deepcopy
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def ema_copy(model: M) -> M:
    """Return a copy to average into; its parameters want no gradient."""
    return deepcopy(model).requires_grad_(False)


@torch.no_grad()
def ema_update(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Set average <- decay average + (1 - decay) model, for parameters and float buffers.

    Integer buffers (a batch norm's count of batches) are copied: their mean means nothing.

    Args:
        average: is changed in place.
        model: of the same architecture.
        decay: from 0 (a copy) to 1 (no change).

    Raises:
        ValueError: decay outside [0, 1], or the two models do not have the same state.
    """
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"decay {decay}: expected a number in [0, 1]")
    means, values = average.state_dict(), model.state_dict()
    if means.keys() != values.keys():
        raise ValueError(f"models differ in {sorted(means.keys() ^ values.keys())[:3]}")
    floats = [name for name, mean in means.items() if mean.is_floating_point()]
    moved = [means[name] for name in floats]
    torch._foreach_mul_(moved, decay)
    torch._foreach_add_(moved, [values[name] for name in floats], alpha=1.0 - decay)
    for name in means.keys() - set(floats):
        means[name].copy_(values[name])


def ema_decay(step: int, decay: float) -> float:
    """Return the decay at a step: that of a plain mean of the models so far, or `decay` if lower.

    min(1 - 1 / (step + 1), decay), step counted from 0; the first update copies the model.
    """
    return min(1.0 - 1.0 / (step + 1), decay)
