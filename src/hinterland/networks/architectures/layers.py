"""Layers by the number of axes: what the networks are stacked from, on torch alone.

Modules are named as in MONAI's `Convolution` (`conv`, `adn.N`, `adn.A`, `adn.D`), in which the
weights of runs are stored. MONAI itself is loaded for its own networks only: with what it imports
it takes 190 MiB, as much as torch, of every process that predicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from hinterland.networks.norms import InstanceNorm2d, InstanceNorm3d

Sizes = Sequence[int] | int
Described = tuple[str, dict[str, Any]]
"""A layer's name and its options."""

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "leakyrelu": nn.LeakyReLU, "relu": nn.ReLU, "gelu": nn.GELU, "sigmoid": nn.Sigmoid,
}  # fmt: skip
_KINDS: dict[str, tuple[type[nn.Module], type[nn.Module]]] = {
    "conv": (nn.Conv2d, nn.Conv3d),
    "transposed": (nn.ConvTranspose2d, nn.ConvTranspose3d),
    "max": (nn.MaxPool2d, nn.MaxPool3d),
    "average": (nn.AvgPool2d, nn.AvgPool3d),
    "dropout": (nn.Dropout2d, nn.Dropout3d),
    "swift_instance": (InstanceNorm2d, InstanceNorm3d),
    "batch": (nn.BatchNorm2d, nn.BatchNorm3d),
}


def layer(kind: str, dims: int, *args: Any, **options: Any) -> nn.Module:
    """Make a layer of torch's for 2 or 3 axes.

    Args:
        kind: conv, transposed, max, average, dropout or a norm.
        dims: axes.
        args: of the layer.
        options: of the layer.

    Returns:
        The layer.
    """
    return _KINDS[kind][dims - 2](*args, **options)


class Convolution(nn.Sequential):
    """A convolution, and what follows it in the order asked for."""

    def __init__(
        self,
        dims: int,
        channels: tuple[int, int],
        kernel: Sizes,
        stride: Sizes = 1,
        *,
        norm: Described | None = None,
        act: Described | None = None,
        dropout: float = 0.0,
        order: str = "NDA",
        transposed: bool = False,
        padding: Sizes | None = None,
        bias: bool = True,
        groups: int = 1,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {} if not transposed else {
            "output_padding": [2 * p + s - k for k, s, p in _each(
                dims, kernel, stride, _padding(dims, kernel, stride, padding))]
        }  # fmt: skip
        self.conv = layer(
            "transposed" if transposed else "conv", dims, *channels,
            kernel_size=tuple(_spread(dims, kernel)), stride=tuple(_spread(dims, stride)),
            padding=tuple(_padding(dims, kernel, stride, padding)), bias=bias, groups=groups,
            dilation=dilation, **options,
        )  # fmt: skip
        after = nn.Sequential()
        for letter in order:
            if letter == "N" and norm:
                after.add_module("N", layer(norm[0], dims, channels[1], **norm[1]))
            elif letter == "A" and act:
                after.add_module("A", ACTIVATIONS[act[0]](**act[1]))
            elif letter == "D" and dropout:
                after.add_module("D", nn.Dropout(dropout))
        if len(after):
            self.adn = after


def _spread(dims: int, sizes: Sizes) -> list[int]:
    return [sizes] * dims if isinstance(sizes, int) else list(sizes)


def _padding(dims: int, kernel: Sizes, stride: Sizes, padding: Sizes | None) -> list[int]:
    """Return what makes the output the input's size divided by the stride."""
    if padding is not None:
        return _spread(dims, padding)
    return [(k - s + 1) // 2 for k, s in _each(dims, kernel, stride)]


def _each(dims: int, *sizes: Sizes) -> list[tuple[int, ...]]:
    return list(zip(*(_spread(dims, s) for s in sizes), strict=True))
