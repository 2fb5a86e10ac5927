"""The convolutions that the U-Nets are stacked from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

from torch import Tensor, nn

from hinterland.networks.architectures.layers import Convolution, layer
from hinterland.types import HinterlandError

ACTIVATION = ("leakyrelu", {"inplace": True, "negative_slope": 0.01})
NORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "instance": ("swift_instance", {"affine": True, "eps": 1e-5}),
    "batch": ("batch", {"eps": 1e-5}),
}


def norm_layer(name: str) -> tuple[str, dict[str, Any]]:
    """Describe a normalisation layer called "instance" or "batch", as MONAI does, too.

    Raises:
        HinterlandError: another name.
    """
    if name not in NORMS:
        raise HinterlandError(f"norm {name!r}: expected one of {', '.join(NORMS)}")
    return NORMS[name]


@dataclass(frozen=True)
class Topology:
    """Levels of a U-Net from the highest resolution down; `strides[0]` is all ones.

    `depths` counts the convolutions (or residual blocks) of each encoder level, `decoder_depth` the
    convolutions of a decoder level.
    """

    dims: int
    features: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    kernels: tuple[tuple[int, ...], ...]
    depths: tuple[int, ...]
    decoder_depth: int
    norm: str = "instance"


def convolution(
    topology: Topology,
    channels: tuple[int, int],
    kernel: Sequence[int],
    stride: Sequence[int] | int = 1,
    activate: bool = True,
) -> nn.Module:
    """Make a convolution with "same" padding, norm and leaky ReLU.

    It has no bias, which the norm would cancel.

    Args:
        topology: number of axes and kind of norm.
        channels: in and out.
        kernel: voxels, one number an axis.
        stride: voxels.
        activate: whether the leaky ReLU comes last.

    Returns:
        The layers.
    """
    return Convolution(
        topology.dims, channels, kernel, stride, norm=norm_layer(topology.norm),
        act=ACTIVATION if activate else None, bias=False,
    )  # fmt: skip


def stack(topology: Topology, widths: Sequence[int], level: int, strided: bool) -> nn.Sequential:
    """Stack convolutions through these widths with a level's kernel, the first strided if asked.

    Args:
        topology: kernels and strides of the levels.
        widths: channels, of the input first.
        level: from 0 at full resolution.
        strided: whether the first convolution enters the level.

    Returns:
        One convolution fewer than widths.
    """
    strides = [topology.strides[level] if strided else 1] + [1] * (len(widths) - 2)
    return nn.Sequential(
        *(
            convolution(topology, pair, topology.kernels[level], stride)
            for pair, stride in zip(pairwise(widths), strides, strict=True)
        )
    )


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut: leaky ReLU(norm conv act norm conv x + shortcut x).

    The shortcut is ResNet-D's: average pooling by the stride, then a 1x1 convolution with norm when
    the width changes. The last norm starts at zero, so that the block starts as its shortcut.
    """

    def __init__(
        self,
        topology: Topology,
        channels: tuple[int, int],
        kernel: Sequence[int],
        stride: tuple[int, ...],
    ) -> None:
        super().__init__()
        width = channels[1]
        self.conv1 = convolution(topology, channels, kernel, stride)
        self.conv2 = convolution(topology, (width, width), kernel, activate=False)
        shortcut = [layer("average", topology.dims, stride, stride)] if prod(stride) > 1 else []
        if channels[0] != width:
            unit = (1,) * topology.dims
            shortcut.append(convolution(topology, channels, unit, activate=False))
        self.shortcut = nn.Sequential(*shortcut)
        self.activation = nn.LeakyReLU(ACTIVATION[1]["negative_slope"], inplace=True)

    def zero_last_norm(self) -> None:
        """Silence the residual branch (affine weight and bias of its last norm)."""
        norm = self.conv2.get_submodule("adn.N")  # a convolution layer's norm
        nn.init.zeros_(norm.get_parameter("weight"))
        nn.init.zeros_(norm.get_parameter("bias"))

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.conv2(self.conv1(x)) + self.shortcut(x))


def residual_stack(topology: Topology, entering: int, level: int) -> nn.Sequential:
    """Stack a level's residual blocks, the first of which changes width and resolution.

    Args:
        topology: widths, depths, kernels and strides of the levels.
        entering: channels of the input.
        level: from 0 at full resolution.

    Returns:
        The level's blocks.
    """
    width, unit = topology.features[level], (1,) * topology.dims
    return nn.Sequential(
        *(
            ResidualBlock(
                topology,
                (width if i else entering, width),
                topology.kernels[level],
                unit if i else topology.strides[level],
            )
            for i in range(topology.depths[level])
        )
    )
