"""ConvNeXt-T (Liu et al., CVPR 2022, section 2), in 2D and 3D, without stochastic depth."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DEPTHS = (3, 3, 9, 3)
WIDTHS = (96, 192, 384, 768)
SCALE = 1e-6
"""What each block's branch is multiplied by at first."""


class ConvNeXt(nn.Sequential):
    """Images (B, C, *canvas) to logits (B, classes); the canvas has edges of 32 or more."""

    def __init__(self, dims: int, channels: int, classes: int) -> None:
        parts: list[nn.Module] = []
        for depth, entering, width in zip(DEPTHS, (channels, *WIDTHS), WIDTHS, strict=False):
            edge = 2 if parts else 4
            parts += [ChannelNorm(entering)] if parts else []
            parts.append(_conv(dims)(entering, width, edge, edge))
            parts += [] if len(parts) > 1 else [ChannelNorm(width)]
            parts += [Block(dims, width) for _ in range(depth)]
        last = WIDTHS[-1]
        super().__init__(*parts, Pooled(), nn.LayerNorm(last, eps=1e-6), nn.Linear(last, classes))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Conv3d | nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)


class Block(nn.Module):
    """x + scale * (a depthwise 7 x 7 convolution, norm, and two linear layers on each voxel)."""

    def __init__(self, dims: int, width: int) -> None:
        super().__init__()
        self.spatial = _conv(dims)(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), SCALE))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.spatial(x).movedim(1, -1))
        y = self.narrow(F.gelu(self.widen(y))) * self.scale
        return x + y.movedim(-1, 1)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each voxel of (B, C, *space)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class Pooled(nn.Module):
    """The mean over all voxels."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).mean(2)


def _conv(dims: int) -> type[nn.Conv2d] | type[nn.Conv3d]:
    return nn.Conv2d if dims == 2 else nn.Conv3d
