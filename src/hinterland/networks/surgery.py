"""Head surgery: a trained network with few channels grown into one with more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log

import torch
from torch import Tensor, nn

from hinterland.types import HinterlandError


def grow(
    network: nn.Module,
    trained: Mapping[str, Tensor],
    parents: Sequence[int],
    counts: Sequence[float] | None = None,
    *,
    fresh: bool = False,
) -> None:
    """Load `trained`, the state of the same network with fewer channels, into `network`.

    A channel with one child keeps its logit, bit for bit in its weights. The children of one
    channel share its mass: child i has its weights and its bias plus log r_i, r_i its share, so
    that

        sum over the children of exp(logit + log r_i) = exp(logit)

    and every softmax probability of the trained network is a sum of the grown one's. Every head
    (deep supervision has several) is grown so; all other weights are copied.

    Args:
        network: what is grown into, in place.
        trained: a state; only output channels may be fewer.
        parents: for each channel of `network`, the channel of the trained one it came out of.
        counts: how often each channel's class was seen. Children have shares in proportion to it
            (plus one), so that the most probable class of a voxel stays what it was where the
            parent has one frequent child: n equal children lose to any other class once that has
            more than 1 / (n + 1). Default: equal shares.
        fresh: leave layers whose channels grow as they were initialised.

    Raises:
        HinterlandError: anything but the number of output channels differs.
    """
    old = max(parents) + 1
    if sorted(set(parents)) != list(range(old)) or len(parents) < old:
        raise HinterlandError(
            f"channels grown from {list(parents)}: expected a parent among 0 to {old - 1} for each "
            "channel, and a child for every parent."
        )
    if len(parents) == old and list(parents) != list(range(old)):
        raise HinterlandError(
            f"channels grown from {list(parents)}: the same channels in another order. Name the "
            "classes in the order of the run to start from, or add one."
        )
    state = network.state_dict()
    if state.keys() != trained.keys():
        raise HinterlandError(_differs(sorted(state.keys() ^ trained.keys())[0], "in one of them"))
    index = torch.tensor(list(parents))
    share = torch.tensor(log_shares(parents, counts), dtype=torch.float64)
    for name, value in state.items():
        source = trained[name]
        if source.shape == value.shape:
            continue
        grown = (len(parents), *value.shape[1:]) == tuple(value.shape)
        if not grown or (old, *value.shape[1:]) != tuple(source.shape):
            raise HinterlandError(
                _differs(name, f"{list(source.shape)} there, {list(value.shape)} here")
            )
    for name, value in state.items():
        source = trained[name]
        if source.shape == value.shape:
            value.copy_(source)
        elif not fresh:
            value.copy_(source[index].double() + share if source.ndim == 1 else source[index])


def log_shares(parents: Sequence[int], counts: Sequence[float] | None = None) -> list[float]:
    """Return the logarithm of each child's share of its parent.

    >>> [round(1000 * s) for s in log_shares([0, 1, 1], [5.0, 98.0, 0.0])]
    [0, -10, -4605]
    """
    weights = [1.0] * len(parents) if counts is None else [count + 1.0 for count in counts]
    whole = [sum(w for w, q in zip(weights, parents, strict=True) if q == p) for p in parents]
    return [log(w / total) for w, total in zip(weights, whole, strict=True)]


def _differs(name: str, how: str) -> str:
    return (
        f"the run to start from has another network: {name} is {how}. A grown model keeps network, "
        "widths, patch strides and input channels; only its output channels may be more."
    )
