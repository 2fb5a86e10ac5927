"""Head surgery: a trained network with few channels grown into one with more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log

import torch
from torch import Tensor, nn

from hinterland.types import HinterlandError


def grow(network: nn.Module, trained: Mapping[str, Tensor], parents: Sequence[int]) -> None:
    """Load `trained`, the state of the same network with fewer channels, into `network`.

    parents: for each channel of `network`, the channel of the trained one that it came out of. A
    channel with one child keeps its logit, bit for bit in its weights. n children of one channel
    share its mass: each has its weights and its bias less log n, so that

        sum over the children of exp(logit - log n) = exp(logit)

    and every softmax probability of the trained network is a sum of the grown one's. Every head
    (deep supervision has several) is grown so; all other weights are copied.

    Raises HinterlandError where anything but the number of output channels differs.
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
    share = torch.tensor([log(list(parents).count(p)) for p in parents], dtype=torch.float64)
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
        else:
            value.copy_(source[index].double() - share if source.ndim == 1 else source[index])


def _differs(name: str, how: str) -> str:
    return (
        f"the run to start from has another network: {name} is {how}. A grown model keeps network, "
        "widths, patch strides and input channels; only its output channels may be more."
    )
