"""Swin-Unet (Cao et al. 2022): a U-Net of Swin transformer blocks alone, in 2D and 3D.

The blocks are MONAI's, which is loaded when one is made. It begins with random weights, and drops
no paths. The first layer joins patches of four voxels, so that there is no map at half resolution;
maps are named by their resolution: "encoder.2" is a quarter of the image's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hinterland.networks.architectures.from_monai import need_einops
from hinterland.networks.architectures.layers import layer
from hinterland.networks.base import Network
from hinterland.networks.initialise import initialise, initialise_tokens, seeded
from hinterland.networks.roles import mark_end

FILTERS = 96
DEPTH = 2
HEADS = (3, 6, 12, 24)
WINDOW = 7
PATCH = 4


class SwinUNet(Network):
    """Four levels down and three up, two Swin blocks each, window 7; a linear layer joins skips.

    Args:
        dims: axes.
        in_channels: of the image.
        out_channels: of the logits.
        filters: channels of the highest level, a multiple of 3; doubled at each level.
        seed: of the initial weights.
    """

    def __init__(
        self,
        dims: int,
        in_channels: int,
        out_channels: int,
        *,
        filters: int = FILTERS,
        seed: int = 0,
    ) -> None:
        super().__init__(dims, in_channels, out_channels)
        need_einops("swinunet")
        from monai.networks.nets.swin_unetr import BasicLayer, PatchMergingV2

        self.filters = filters
        widths = [filters * 2**i for i in range(len(HEADS))]

        def blocks(level: int) -> nn.Module:
            return BasicLayer(
                widths[level], DEPTH, HEADS[level], (WINDOW,) * dims, [0.0] * DEPTH, qkv_bias=True
            )

        with seeded(seed):
            self.embed = layer("conv", dims, in_channels, filters, PATCH, PATCH)
            self.embed_norm = nn.LayerNorm(filters)
            self.down = nn.ModuleList(blocks(level) for level in range(len(widths)))
            self.merge = nn.ModuleList(
                PatchMergingV2(width, spatial_dims=dims) for width in widths[:-1]
            )
            self.lowest_norm = nn.LayerNorm(widths[-1])
            self.expand = nn.ModuleList(Expand(dims, 2 * w, w, 2) for w in widths[:-1])
            self.join = nn.ModuleList(nn.Linear(2 * w, w) for w in widths[:-1])
            self.up = nn.ModuleList(blocks(level) for level in range(len(widths) - 1))
            self.up_norm = nn.LayerNorm(filters)
            self.finest = Expand(dims, filters, filters, PATCH)
            self.head = mark_end(layer("conv", dims, filters, out_channels, 1))
            initialise(self)
            initialise_tokens(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits_and_maps(x)[0][0]

    def logits_and_maps(self, x: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
        x = channels_first(self.embed_norm(channels_last(self.embed(x))))
        encoded: list[Tensor] = []
        for level, stage in enumerate(self.down):
            x = stage(x)
            encoded.append(x)
            if level < len(self.merge):
                x = channels_first(self.merge[level](channels_last(x)))
        x = encoded[-1] = channels_first(self.lowest_norm(channels_last(x)))
        decoded: list[Tensor] = []
        for level in reversed(range(len(self.up))):
            both = (self.expand[level](channels_last(x)), channels_last(encoded[level]))
            x = self.up[level](channels_first(self.join[level](torch.cat(both, dim=-1))))
            decoded.append(x)
        x = channels_first(self.finest(self.up_norm(channels_last(x))))
        decoded.append(x)
        named = dict(zip(self.feature_widths(), (*encoded, *decoded[::-1]), strict=True))
        return [self.head(x)], named

    def feature_widths(self) -> dict[str, int]:
        widths = [self.filters * 2**i for i in range(len(HEADS) - 1)]
        encoder = {f"encoder.{i}": width for i, width in enumerate(widths, start=2)}
        decoder = {f"decoder.{i}": width for i, width in enumerate(widths, start=2)}
        lowest = self.filters * 2 ** (len(HEADS) - 1)
        return {**encoder, "bottleneck": lowest, "decoder.0": self.filters, **decoder}


class Expand(nn.Module):
    """Makes a map larger: a linear layer, whose channels become voxels, and a norm."""

    def __init__(self, dims: int, entering: int, leaving: int, times: int) -> None:
        super().__init__()
        self.times = times
        self.linear = nn.Linear(entering, leaving * times**dims, bias=False)
        self.norm = nn.LayerNorm(leaving)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, *space times larger, leaving) of (B, *space, entering)."""
        return self.norm(spread(self.linear(x), self.times))


def spread(x: Tensor, times: int) -> Tensor:
    """Lay channels out as voxels: (B, *space, times^axes C) -> (B, *(times space), C)."""
    batch, *space, channels = x.shape
    axes = len(space)
    x = x.view(batch, *space, *[times] * axes, channels // times**axes)
    order: Sequence[int] = [i for axis in range(1, axes + 1) for i in (axis, axis + axes)]
    x = x.permute(0, *order, 2 * axes + 1)
    return x.reshape(batch, *[n * times for n in space], -1)


def channels_last(x: Tensor) -> Tensor:
    """Return (B, *space, C) of (B, C, *space)."""
    return x.movedim(1, -1)


def channels_first(x: Tensor) -> Tensor:
    """Return (B, C, *space) of (B, *space, C)."""
    return x.movedim(-1, 1)
