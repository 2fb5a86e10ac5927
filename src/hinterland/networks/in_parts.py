"""A network's answer a few slices at a time: its last layer makes most of the numbers."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from hinterland.networks.base import Network, SplitNetwork

PART = 2**20
"""Logits that are made at a time: 4 MiB, which stay in the cache."""


def softmax_in_parts(network: Network, image: Tensor, then: Callable[[Tensor], Tensor]) -> Tensor:
    """Return `then` of a network's class probabilities, without holding them all.

    With 118 classes, the probabilities of one patch of 128^3 take 944 MiB, and what they come from,
    32 feature maps, 256 MiB. Where the head sees one voxel at a time, it is asked slice by slice.

    Args:
        network: a head that is not pointwise is asked once.
        image: (B, C, *spatial).
        then: (B, classes, ...) -> (B, groups, ...), voxel by voxel.

    Returns:
        (B, groups, *spatial).
    """
    if not isinstance(network, SplitNetwork) or not network.pointwise_head:
        return then(network(image).float().softmax(dim=1))
    finest = network.decode(network.encode(image))[0]
    return head_in_parts(network.head, finest, network.out_channels, then)


def head_in_parts(
    head: nn.Module, finest: Tensor, classes: int, then: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return `then` of the class probabilities that a pointwise head makes of feature maps.

    Args:
        head: [(B, width, *spatial)] -> [logits (B, classes, *spatial)].
        finest: the maps, (B, width, *spatial).
        classes: channels of the logits.
        then: (B, classes, ...) -> (B, groups, ...), voxel by voxel.

    Returns:
        (B, groups, *spatial).
    """
    slices = finest.shape[2]
    step = max(1, PART * slices * finest.shape[1] // (finest.numel() * classes))
    out: Tensor | None = None
    for start in range(0, slices, step):
        logits = head([finest[:, :, start : start + step]])[0].float()
        result = then(logits.softmax(dim=1))
        if out is None:
            # one block for all: small ones between large ones keep the heap from being used again
            out = result.new_empty((*result.shape[:2], *finest.shape[2:]))
        out[:, :, start : start + step] = result
    assert out is not None
    return out
