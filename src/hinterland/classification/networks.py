"""Networks from an image to class logits, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from hinterland.classification.heads import (
    ComplexHead,
    FullyConnected,
    PooledLinear,
    SimpleHead,
    SmallNet,
    SqueezeNet,
)
from hinterland.networks.initialise import seeded
from hinterland.networks.roles import mark_ends
from hinterland.types import HinterlandError

Maker = Callable[[int, int, int, Sequence[int]], nn.Module]

IMAGE_CLASSIFIERS = ("small", "squeezenet", "resnet50", "resnet101", "seresnet50", "densenet121")
"""Networks that classify images (and masks)."""
SUMMARISERS = ("fully-connected", "pool", "simple", "complex")
"""Heads for masks or embeddings only."""


def _resnet(name: str) -> Maker:
    def make(dims: int, channels: int, classes: int, size: Sequence[int]) -> nn.Module:
        from monai.networks.nets import resnet

        del size  # stride 2 in the first convolution, as in the original; MONAI's default is 1
        return getattr(resnet, name)(
            spatial_dims=dims, n_input_channels=channels, num_classes=classes, conv1_t_stride=2
        )

    return make


def _seresnet50(dims: int, channels: int, classes: int, size: Sequence[int]) -> nn.Module:
    from monai.networks.nets.senet import SEResNet50

    del size
    return SEResNet50(spatial_dims=dims, in_channels=channels, num_classes=classes)


def _densenet121(dims: int, channels: int, classes: int, size: Sequence[int]) -> nn.Module:
    from monai.networks.nets.densenet import DenseNet121

    del size
    return DenseNet121(spatial_dims=dims, in_channels=channels, out_channels=classes)


_MAKERS: dict[str, Maker] = {
    "small": SmallNet,
    "squeezenet": SqueezeNet,
    "resnet50": _resnet("resnet50"),
    "resnet101": _resnet("resnet101"),
    "seresnet50": _seresnet50,
    "densenet121": _densenet121,
    "fully-connected": FullyConnected,
    "pool": PooledLinear,
    "simple": SimpleHead,
    "complex": ComplexHead,
}
_LEAST_EDGE = {"densenet121": 32}  # it halves every axis five times without padding


def create_classifier(
    name: str, channels: int, classes: int, size: Sequence[int], *, seed: int = 0
) -> nn.Module:
    """Make the network (B, channels, *size) -> logits (B, classes), freshly initialised.

    Args:
        name: of the network.
        channels: of the image.
        classes: number of classes.
        size: of the canvas, two or three axes.
        seed: of the initial weights.

    Returns:
        The network.

    Raises:
        HinterlandError: an unknown name, or a canvas that is too small for the network.
    """
    if name not in _MAKERS:
        raise HinterlandError(f"classifier {name!r}: expected one of {', '.join(_MAKERS)}.")
    if min(size) < _LEAST_EDGE.get(name, 1):
        raise HinterlandError(
            f"canvas {list(size)} is too small for {name}: expected edges of "
            f"{_LEAST_EDGE[name]} or more."
        )
    with seeded(seed):
        network = _MAKERS[name](len(size), channels, classes, size)
    mark_ends(network, channels)
    return network
