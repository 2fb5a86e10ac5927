"""Networks from an image to class logits, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from hinterland.classification.convnext import ConvNeXt
from hinterland.classification.heads import (
    ComplexHead,
    FullyConnected,
    PooledLinear,
    SimpleHead,
    SmallNet,
    SqueezeNet,
)
from hinterland.data.planning.topology import topology
from hinterland.networks.architectures.blocks import Topology
from hinterland.networks.architectures.unet import Encoder
from hinterland.networks.factories import residual_depths
from hinterland.networks.initialise import seeded
from hinterland.networks.roles import mark_ends
from hinterland.types import HinterlandError

Maker = Callable[[int, int, int, Sequence[int]], nn.Module]

IMAGE_CLASSIFIERS = (
    "small", "squeezenet", "resnet50", "resnet101", "seresnet50", "densenet121", "convnext",
    "unet-encoder", "resenc-encoder",
)  # fmt: skip
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


def _convnext(dims: int, channels: int, classes: int, size: Sequence[int]) -> nn.Module:
    del size
    return ConvNeXt(dims, channels, classes)


class EncoderClassifier(nn.Module):
    """The encoder of nnU-Net's U-Net for this canvas, its bottleneck pooled, and a linear layer."""

    def __init__(
        self, dims: int, channels: int, classes: int, size: Sequence[int], *, residual: bool
    ) -> None:
        super().__init__()
        fitted = topology((1.0,) * dims, size)
        if len(fitted.strides) < 2:
            raise HinterlandError(
                f"canvas {list(size)} is too small for an encoder of two levels: expected edges "
                "of 8 or more."
            )
        net = fitted.network()
        levels = len(net.features)
        shape = Topology(
            dims, net.features, net.strides, net.kernels,
            residual_depths(levels) if residual else (net.convolutions,) * levels,
            net.convolutions,
        )  # fmt: skip
        self.encoder = Encoder(shape, channels, residual)
        self.classes = nn.Linear(net.features[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classes(self.encoder(x)[-1].flatten(2).mean(dim=2))


def _encoder(residual: bool) -> Maker:
    return partial(EncoderClassifier, residual=residual)


_MAKERS: dict[str, Maker] = {
    "small": SmallNet,
    "squeezenet": SqueezeNet,
    "resnet50": _resnet("resnet50"),
    "resnet101": _resnet("resnet101"),
    "seresnet50": _seresnet50,
    "densenet121": _densenet121,
    "convnext": _convnext,
    "unet-encoder": _encoder(residual=False),
    "resenc-encoder": _encoder(residual=True),
    "fully-connected": FullyConnected,
    "pool": PooledLinear,
    "simple": SimpleHead,
    "complex": ComplexHead,
}
_LEAST_EDGE = {"densenet121": 32, "convnext": 32}  # they halve every axis five times


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
