"""Decoder and head of the U-Nets, modules that a method may have more than one of."""

from __future__ import annotations

from torch import Tensor, cat, nn

from hinterland.networks.architectures.blocks import Topology, stack
from hinterland.networks.architectures.layers import Convolution
from hinterland.networks.initialise import initialise
from hinterland.networks.roles import mark_end
from hinterland.types import HinterlandError

UPSAMPLING = ("transposed", "interpolate")


def _upsample(topology: Topology, level: int, mode: str) -> nn.Module:
    """Make the layer from the level below to this one, in width and resolution.

    It has no norm, as in nnU-Net.
    """
    stride = topology.strides[level + 1]
    channels = (topology.features[level + 1], topology.features[level])
    if mode == "transposed":
        return Convolution(topology.dims, channels, stride, stride, transposed=True)
    # A 1x1 convolution commutes with linear interpolation, and is cheaper before it.
    return nn.Sequential(
        Convolution(topology.dims, channels, 1),
        nn.Upsample(
            scale_factor=tuple(float(s) for s in stride),
            mode="bilinear" if topology.dims == 2 else "trilinear",
            align_corners=False,
        ),
    )


class Decoder(nn.Module):
    """From the bottleneck up: upsample, join the encoder's map of that level, convolve.

    `forward` takes the encoder's maps and returns one map per level above the bottleneck, both
    highest resolution first.
    """

    def __init__(self, topology: Topology, upsampling: str = "transposed") -> None:
        super().__init__()
        if upsampling not in UPSAMPLING:
            raise HinterlandError(
                f"upsampling {upsampling!r}: expected one of {', '.join(UPSAMPLING)}"
            )
        levels = range(len(topology.features) - 1)
        self.upsample = nn.ModuleList(_upsample(topology, i, upsampling) for i in levels)
        widths = [topology.features[i] for i in levels]
        self.stages = nn.ModuleList(
            stack(topology, [2 * w] + [w] * topology.decoder_depth, i, strided=False)
            for i, w in zip(levels, widths, strict=True)
        )
        initialise(self)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        x, decoded = features[-1], []
        stages = list(zip(self.upsample, self.stages, features[:-1], strict=True))
        for upsample, stage, skip in reversed(stages):
            x = stage(cat((upsample(x), skip), dim=1))
            decoded.append(x)
        return decoded[::-1]


class Head(nn.Module):
    """A 1x1 convolution to logits on the highest decoder map, or on each under deep supervision.

    `forward` takes the decoder's maps and returns logits, highest resolution first; several only
    while training.
    """

    def __init__(self, topology: Topology, out_channels: int, deep_supervision: bool) -> None:
        super().__init__()
        conv = nn.Conv2d if topology.dims == 2 else nn.Conv3d
        widths = topology.features[:-1] if deep_supervision else topology.features[:1]
        self.layers = mark_end(nn.ModuleList(conv(w, out_channels, 1) for w in widths))
        initialise(self)

    def forward(self, decoded: list[Tensor]) -> list[Tensor]:
        layers = list(self.layers) if self.training else [self.layers[0]]
        return [layer(x) for layer, x in zip(layers, decoded, strict=False)]
