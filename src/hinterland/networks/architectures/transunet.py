"""TransUNet (Chen et al. 2021): a ResNet-50, a transformer on its lowest map, a U-Net's decoder.

R50-ViT-B/16 as published, and the same in 3D; it begins with random weights. Stride-two layers come
first, so that there is no skip connection at full resolution. Maps are named by their resolution:
"encoder.1" is half of the image's.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hinterland.networks.architectures.blocks import norm_layer
from hinterland.networks.architectures.layers import layer
from hinterland.networks.architectures.stages import Shape
from hinterland.networks.base import Network
from hinterland.networks.initialise import initialise, initialise_tokens, seeded
from hinterland.networks.roles import mark_end

BASE = 64
STAGES = (3, 4, 9)
EXPANSION = 4
LAYERS = 12
HEADS = 12
DROPOUT = 0.1
GROUPS = 32
_SPREAD = 1e-5


class Standardised2d(nn.Conv2d):
    """A convolution of which each output's weights have mean 0 and variance 1."""

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, standardised(self.weight), self.bias)


class Standardised3d(nn.Conv3d):
    """A convolution of which each output's weights have mean 0 and variance 1."""

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, standardised(self.weight), self.bias)


def standardised(weight: Tensor) -> Tensor:
    """Return the weights of each output less their mean, over their standard deviation."""
    flat = weight.flatten(1)
    variance, mean = torch.var_mean(flat, dim=1, keepdim=True, correction=0)
    return ((flat - mean) * (variance + _SPREAD).rsqrt()).view_as(weight)


class ResidualLayers:
    """Makes the layers of the residual part, of so many axes."""

    def __init__(self, dims: int, norm: str | None) -> None:
        self.dims, self._norm = dims, norm

    def conv(self, entering: int, leaving: int, kernel: int, stride: int = 1) -> nn.Module:
        """Make a standardised convolution without bias.

        Args:
            entering: channels of the input.
            leaving: channels of the output.
            kernel: edge in voxels, odd.
            stride: in voxels.

        Returns:
            The layer.
        """
        kind = Standardised2d if self.dims == 2 else Standardised3d
        return kind(entering, leaving, kernel, stride, kernel // 2, bias=False)

    def norm(self, channels: int) -> nn.Module:
        """Make a norm: of groups, unless another was asked for."""
        if self._norm is None:
            # two channels a group at least, as published where it is narrowest
            return nn.GroupNorm(min(GROUPS, channels // 2), channels, eps=1e-6)
        kind, options = norm_layer(self._norm)
        return layer(kind, self.dims, channels, **options)


class Bottleneck(nn.Module):
    """1, 3, 1 convolutions with norms beside a shortcut, the stride in the middle one.

    The branch starts silent: its last norm has zero weights.
    """

    def __init__(self, make: ResidualLayers, entering: int, width: int, stride: int) -> None:
        super().__init__()
        leaving = width * EXPANSION
        self.branch = nn.Sequential(
            make.conv(entering, width, 1), make.norm(width), nn.ReLU(inplace=True),
            make.conv(width, width, 3, stride), make.norm(width), nn.ReLU(inplace=True),
            make.conv(width, leaving, 1), make.norm(leaving),
        )  # fmt: skip
        nn.init.zeros_(self.branch[-1].get_parameter("weight"))
        self.shortcut = (
            nn.Identity()
            if stride == 1 and entering == leaving
            else nn.Sequential(make.conv(entering, leaving, 1, stride), make.norm(leaving))
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.branch(x) + self.shortcut(x))


class TransformerLayer(nn.Module):
    """Self-attention, then two linear layers, each behind a layer norm and beside a shortcut."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.norm_mlp = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(hidden, width), nn.Dropout(dropout),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        apart = self.qkv(self.norm(x)).view(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = apart.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value)
        x = x + self.project(seen.transpose(1, 2).reshape(batch, tokens, width))
        return x + self.mlp(self.norm_mlp(x))


class Tokens(nn.Module):
    """A transformer on the voxels of a map, each with a learned place.

    Places are learned for one size; for another they are interpolated.
    """

    def __init__(self, dims: int, entering: int, width: int, size: Sequence[int]) -> None:
        super().__init__()
        self.embed = layer("conv", dims, entering, width, 1)
        self.places = nn.Parameter(torch.zeros(1, width, *size))
        self.dropout = nn.Dropout(DROPOUT)
        self.layers = nn.Sequential(
            *(TransformerLayer(width, HEADS, EXPANSION * width, DROPOUT) for _ in range(LAYERS))
        )
        self.norm = nn.LayerNorm(width, 1e-6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        size = x.shape[2:]
        places: Tensor = self.places
        if places.shape[2:] != size:
            mode = "bilinear" if len(size) == 2 else "trilinear"
            places = F.interpolate(places, tuple(size), mode=mode)
        tokens = self.dropout(x + places).flatten(2).transpose(1, 2)
        tokens = self.norm(self.layers(tokens))
        return tokens.transpose(1, 2).reshape(x.shape)


class TransUNet(Network):
    """R50-ViT-B/16 with a decoder of four levels, three of them with a skip connection.

    Args:
        dims: axes.
        in_channels: of the image.
        out_channels: of the logits.
        patch: size of the images it is made for, multiples of 16.
        base: channels of the first convolution; all other widths go with it.
        norm: "instance" or "batch"; None has groups in the encoder, batch norm in the decoder.
        seed: of the initial weights.
    """

    def __init__(
        self,
        dims: int,
        in_channels: int,
        out_channels: int,
        *,
        patch: Sequence[int],
        base: int = BASE,
        norm: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(dims, in_channels, out_channels)
        make = ResidualLayers(dims, norm)
        widths = [base * EXPANSION * 2**i for i in range(len(STAGES))]
        self._encoded = (base, *widths[:2])
        self._decoded = (8 * base, 4 * base, 2 * base, base, max(1, base // 4))
        shape = Shape(dims, (), norm or "batch")
        with seeded(seed):
            self.root = nn.Sequential(
                make.conv(in_channels, base, 7, 2), make.norm(base), nn.ReLU(inplace=True)
            )
            self.pool = layer("max", dims, 3, 2, 1)
            self.stages = nn.ModuleList()
            entering = base
            for number, (depth, leaving) in enumerate(zip(STAGES, widths, strict=True)):
                blocks = []
                for i in range(depth):
                    stride = 2 if number and not i else 1
                    blocks.append(Bottleneck(make, entering, leaving // EXPANSION, stride))
                    entering = leaving
                self.stages.append(nn.Sequential(*blocks))
            hidden = HEADS * base
            self.tokens = Tokens(dims, entering, hidden, [n // 16 for n in patch])
            self.enter = shape.conv(hidden, self._decoded[0], act="relu", order="NA")
            self.up = shape.upsample(align_corners=True)
            skips = (*self._encoded[::-1], 0)
            self.decoder = nn.ModuleList(
                nn.Sequential(
                    shape.conv(below + skip, width, act="relu", order="NA"),
                    shape.conv(width, width, act="relu", order="NA"),
                )
                for (below, width), skip in zip(pairwise(self._decoded), skips, strict=True)
            )
            self.head = mark_end(shape.conv(self._decoded[-1], out_channels, only=True))
            initialise(self)
            initialise_tokens(self)
            nn.init.normal_(self.tokens.places, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits_and_maps(x)[0][0]

    def logits_and_maps(self, x: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
        encoded = [self.root(x)]
        x = self.pool(encoded[0])
        for stage in self.stages:
            x = stage(x)
            encoded.append(x)
        x = self.tokens(encoded.pop())
        maps = [*encoded, x]
        x, decoded = self.enter(x), []
        for level, stage in enumerate(self.decoder):
            x = self.up(x)
            if level < len(encoded):
                x = torch.cat((x, encoded[-1 - level]), dim=1)
            x = stage(x)
            decoded.append(x)
        named = dict(zip(self.feature_widths(), (*maps, *decoded[::-1]), strict=True))
        return [self.head(x)], named

    def feature_widths(self) -> dict[str, int]:
        encoder = {f"encoder.{i}": width for i, width in enumerate(self._encoded, start=1)}
        decoder = {f"decoder.{i}": width for i, width in enumerate(self._decoded[:0:-1])}
        return {**encoder, "bottleneck": self.tokens.places.shape[1], **decoder}
