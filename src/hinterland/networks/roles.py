"""Which weights of a network are hidden matrices, and which stand at its ends.

Optimisers that treat a weight as a matrix (Muon) are for hidden layers; the layer that sees the
image and those that give logits are few, of odd shapes, and better left to Adam.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar, cast

from torch import nn

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED)
_END = "hinterland_end"
Layer = TypeVar("Layer", bound=nn.Module)


def mark_end(module: Layer) -> Layer:
    """Say that this module, with all inside it, is an end of a network: its input or its head."""
    setattr(module, _END, True)
    return module


def mark_ends(network: nn.Module, in_channels: int) -> None:
    """Mark the layers that see the image, and the last layer if no head is marked yet.

    in_channels: channels of the image; a layer with as many inputs is taken to see it.
    """
    layers = [m for m in network.modules() if isinstance(m, LAYERS)]
    if layers and not any(hasattr(m, _END) for m in network.modules()):
        mark_end(layers[-1])
    for layer in layers:
        if getattr(layer, "in_channels", None) == in_channels:
            mark_end(layer)


def hidden_weights(module: nn.Module) -> Iterator[tuple[nn.Parameter, int]]:
    """Yield the weights of hidden linear and convolutional layers, each with its axis of outputs.

    The axis is 0, or 1 for transposed convolutions. Left out: layers marked as ends, depthwise and
    other grouped convolutions (their matrices have too few columns), norms, biases, embeddings.
    """
    ends = {id(m) for end in module.modules() if hasattr(end, _END) for m in end.modules()}
    for layer in module.modules():
        if not isinstance(layer, LAYERS) or id(layer) in ends:
            continue
        if getattr(layer, "groups", 1) == 1:
            yield cast(nn.Parameter, layer.weight), int(isinstance(layer, TRANSPOSED))
