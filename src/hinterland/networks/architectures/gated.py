"""The networks of paper 2: Attention U-Net, NucleiSegNet and CMUNet, in 2D and 3D.

All three have five levels with max pooling between them, and gates on the skip connections.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, cat, nn

from hinterland.networks.architectures.gates import AttentionGate, ChannelGate, MultiScaleGate
from hinterland.networks.architectures.layers import layer
from hinterland.networks.architectures.stages import (
    ConvHead,
    FiveLevels,
    Shape,
    StageDecoder,
    StageEncoder,
)


class Gated(FiveLevels):
    """Base of the gated networks; a subclass names its blocks, its gate and its lowest level.

    Two 3x3 convolutions a level unless it says otherwise. Upsampling is a strided transposed
    convolution, or linear interpolation and a 3x3 convolution.
    """

    convolved = "NA"
    """Order of norm and activation after a convolution."""

    def _conv(self, entering: int, leaving: int) -> nn.Module:
        return self.shape.conv(entering, leaving, act="relu", order=self.convolved)

    def _block(self, entering: int, width: int) -> nn.Module:
        """Make a level of the encoder."""
        return self._convolutions(entering, width)

    def _bottom(self, entering: int, width: int) -> nn.Module:
        """Make the lowest level."""
        return self._block(entering, width)

    def _gate(self, width: int, below: int) -> nn.Module:
        return AttentionGate(self.shape, width, below)

    def _convolutions(self, entering: int, width: int, depth: int = 2) -> nn.Sequential:
        return nn.Sequential(*(self._conv(a, b) for a, b in pairwise([entering] + [width] * depth)))

    def _encoder(self) -> nn.Module:
        stages: list[nn.Module] = [self._block(self.in_channels, self.widths[0])]
        makers: list[Callable[[int, int], nn.Module]] = [self._block] * (len(self.widths) - 2)
        for (above, width), make in zip(
            pairwise(self.widths), [*makers, self._bottom], strict=True
        ):
            stages.append(nn.Sequential(layer("max", self.dims, 2), make(above, width)))
        return StageEncoder(stages)

    def _decoder(self, upsampling: str) -> nn.Module:
        up: list[nn.Module] = []
        for width, below in pairwise(self.widths):
            if upsampling == "transposed":
                up.append(
                    self.shape.conv(below, width, 2, 2, act="relu", order="A", transposed=True)
                )
            else:
                raised = self.shape.upsample(align_corners=False)
                up.append(nn.Sequential(raised, self._conv(below, width)))
        return StageDecoder(
            up,
            [self._convolutions(2 * width, width) for width in self.widths[:-1]],
            gates=[self._gate(width, below) for width, below in pairwise(self.widths)],
        )

    def _head(self, out_channels: int) -> nn.Module:
        return ConvHead(self.shape.conv(self.widths[0], out_channels, 1, only=True))


class AttentionUNet(Gated):
    """U-Net whose skips pass an additive attention gate (Oktay et al. 2018)."""

    base = 64
    upsampling = "interpolate"


class NucleiSegNet(Gated):
    """Robust residual blocks, a bottleneck of three convolutions, attention decoder.

    Lal et al., Computers in Biology and Medicine 128 (2021). Its layers normalise after the
    activation.
    """

    base = 32
    convolved = "AN"

    def _block(self, entering: int, width: int) -> nn.Module:
        return RobustResidual(self.shape, entering, width)

    def _bottom(self, entering: int, width: int) -> nn.Module:
        return self._convolutions(entering, width, depth=3)

    def _gate(self, width: int, below: int) -> nn.Module:
        return ChannelGate(self.shape, width, below)


class RobustResidual(nn.Module):
    """Convolution, depthwise separable convolution, convolution; a last one on [input, result]."""

    def __init__(self, shape: Shape, entering: int, width: int) -> None:
        super().__init__()

        def conv(entering: int, kernel: int = 3) -> nn.Module:
            return shape.conv(entering, width, kernel, act="relu", order="AN")

        depthwise = shape.conv(width, width, groups=width, only=True)
        self.branch = nn.Sequential(conv(entering), depthwise, conv(width, 1), conv(width))
        self.join = conv(entering + width)

    def forward(self, x: Tensor) -> Tensor:
        return self.join(cat((x, self.branch(x)), dim=1))


class CMUNet(Gated):
    """ConvMixer below the lowest level, multi-scale attention gates on the skips.

    Tang et al., ISBI 2023: seven mixer layers with kernels of 7.
    """

    base = 64
    upsampling = "interpolate"
    mixers = 7
    kernel = 7

    def _bottom(self, entering: int, width: int) -> nn.Module:
        mixers = [Mixer(self.shape, width, self.kernel) for _ in range(self.mixers)]
        return nn.Sequential(self._convolutions(entering, width), *mixers)

    def _gate(self, width: int, below: int) -> nn.Module:
        del below
        return MultiScaleGate(self.shape, width)


class Mixer(nn.Module):
    """A ConvMixer layer: x + norm gelu(depthwise x), then norm gelu(pointwise)."""

    def __init__(self, shape: Shape, width: int, kernel: int) -> None:
        super().__init__()
        self.space = shape.conv(width, width, kernel, groups=width, act="gelu", order="AN")
        self.channels = shape.conv(width, width, 1, act="gelu", order="AN")

    def forward(self, x: Tensor) -> Tensor:
        return self.channels(x + self.space(x))
