"""The two backbones of the semi-supervised literature: V-Net as in UA-MT, U-Net as in SSL4MIS.

Both have five levels, halve every axis between them, and normalise by batch. They are re-stated
here with encoder, decoder and head apart; their sizes (9.45 M and 1.81 M parameters at 16 filters)
are those that papers print.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from monai.networks.blocks import Convolution
from monai.networks.layers import Dropout, Pool
from torch import Tensor, cat, nn

from hinterland.networks.base import SplitNetwork
from hinterland.networks.blocks import norm_layer
from hinterland.networks.decoder import UPSAMPLING
from hinterland.networks.initialise import initialise, seeded
from hinterland.types import HinterlandError

LEVELS = 5
BASE = 16
_DEPTHS = (1, 2, 3, 3, 3)
_DROPOUT = (0.05, 0.1, 0.2, 0.3, 0.5)


@dataclass(frozen=True)
class Shape:
    """What the layers of a backbone have in common; `widths` from the highest resolution down."""

    dims: int
    widths: tuple[int, ...]
    norm: str

    def conv(
        self, entering: int, leaving: int, kernel: int = 3, stride: int = 1, dropout: float = 0.0,
        act: str = "leakyrelu", transposed: bool = False, only: bool = False,
    ) -> nn.Module:  # fmt: skip
        """Convolution, norm, activation, dropout; with `only`, the convolution alone."""
        return Convolution(
            self.dims, entering, leaving, stride, kernel, adn_ordering="NAD", act=act,
            norm=norm_layer(self.norm), dropout=dropout or None, is_transposed=transposed,
            conv_only=only, padding=0 if kernel == stride else None,
            output_padding=0 if transposed else None, bias=only,
        )  # fmt: skip

    def upsample(self, align_corners: bool) -> nn.Module:
        """Linear interpolation to twice the size."""
        mode = "bilinear" if self.dims == 2 else "trilinear"
        return nn.Upsample(scale_factor=2.0, mode=mode, align_corners=align_corners)


class Classic(SplitNetwork):
    """What both have in common: how parts are made. No deep supervision."""

    def __init__(
        self,
        dims: int,
        in_channels: int,
        out_channels: int,
        *,
        widths: Sequence[int] | None = None,
        norm: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(dims, in_channels, out_channels)
        self.widths = tuple(widths or (BASE * 2**i for i in range(LEVELS)))
        self.shape = Shape(dims, self.widths, norm or "batch")
        with seeded(seed):
            self.encoder = self._encoder()
            self.decoder = self._decoder(self.upsampling)
            self.head = self._head(out_channels)
            initialise(self)

    def make_decoder(self, upsampling: str = "transposed", *, seed: int) -> nn.Module:
        if upsampling not in UPSAMPLING:
            raise HinterlandError(
                f"upsampling {upsampling!r}: expected one of {', '.join(UPSAMPLING)}"
            )
        with seeded(seed):
            decoder = self._decoder(upsampling)
            initialise(decoder)
        return decoder

    def make_head(self, out_channels: int, *, seed: int) -> nn.Module:
        with seeded(seed):
            head = self._head(out_channels)
            initialise(head)
        return head

    @abstractmethod
    def _encoder(self) -> nn.Module: ...

    @abstractmethod
    def _decoder(self, upsampling: str) -> nn.Module: ...

    @abstractmethod
    def _head(self, out_channels: int) -> nn.Module: ...


class _Encoder(nn.Module):
    def __init__(self, stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class _Decoder(nn.Module):
    """Joins the encoder's map by sum (V-Net) or by concatenation (U-Net)."""

    def __init__(
        self, up: Sequence[nn.Module], stages: Sequence[nn.Module], concatenate: bool
    ) -> None:
        super().__init__()
        self.up, self.stages = nn.ModuleList(up), nn.ModuleList(stages)
        self.concatenate = concatenate

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        x, decoded = features[-1], []
        stages = list(zip(self.up, self.stages, features[:-1], strict=True))
        for up, stage, skip in reversed(stages):
            raised = up(x)
            x = stage(cat((skip, raised), dim=1) if self.concatenate else raised + skip)
            decoded.append(x)
        return decoded[::-1]


class _Head(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, decoded: list[Tensor]) -> list[Tensor]:
        return [self.layer(decoded[0])]


class VNet(Classic):
    """V-Net without residuals: 1, 2, 3, 3, 3 convolutions a level, strided down, skips summed.

    Channel dropout of one half on the bottleneck and on the last decoder map, as in UA-MT.
    """

    def _stack(self, width: int, depth: int, entering: int | None = None) -> list[nn.Module]:
        widths = [entering or width] + [width] * depth
        return [self.shape.conv(a, b, act="relu") for a, b in pairwise(widths)]

    def _drop(self) -> nn.Module:
        return Dropout[Dropout.DROPOUT, self.dims](0.5)

    def _encoder(self) -> nn.Module:
        stages = [nn.Sequential(*self._stack(self.widths[0], 1, self.in_channels))]
        for (above, width), depth in zip(pairwise(self.widths), _DEPTHS[1:], strict=True):
            down = self.shape.conv(above, width, 2, 2, act="relu")
            stages.append(nn.Sequential(down, *self._stack(width, depth)))
        stages[-1].append(self._drop())
        return _Encoder(stages)

    def _decoder(self, upsampling: str) -> nn.Module:
        up: list[nn.Module] = []
        for width, below in pairwise(self.widths):
            if upsampling == "transposed":
                up.append(self.shape.conv(below, width, 2, 2, act="relu", transposed=True))
            else:
                raised = self.shape.upsample(align_corners=False)
                up.append(nn.Sequential(raised, self.shape.conv(below, width, act="relu")))
        stages = [
            nn.Sequential(*self._stack(w, d))
            for w, d in zip(self.widths[:-1], _DEPTHS[:-1], strict=True)
        ]
        stages[0].append(self._drop())
        return _Decoder(up, stages, concatenate=False)

    def _head(self, out_channels: int) -> nn.Module:
        return _Head(self.shape.conv(self.widths[0], out_channels, 1, only=True))


class UNetSSL4MIS(Classic):
    """Two convolutions a level with dropout between them (.05 to .5, encoder only), max pooling.

    Upsampling is by interpolation after a 1x1 convolution: so it has its 1.81 M parameters.
    """

    upsampling = "interpolate"

    def _block(self, entering: int, width: int, dropout: float = 0.0) -> list[nn.Module]:
        return [
            self.shape.conv(entering, width, dropout=dropout),
            self.shape.conv(width, width),
        ]

    def _encoder(self) -> nn.Module:
        entering = (self.in_channels, *self.widths[:-1])
        stages = []
        for i, (e, width, p) in enumerate(zip(entering, self.widths, _DROPOUT, strict=True)):
            pool = [Pool[Pool.MAX, self.dims](2)] if i else []
            stages.append(nn.Sequential(*pool, *self._block(e, width, p)))
        return _Encoder(stages)

    def _decoder(self, upsampling: str) -> nn.Module:
        up: list[nn.Module] = []
        for width, below in pairwise(self.widths):
            if upsampling == "transposed":
                up.append(self.shape.conv(below, width, 2, 2, transposed=True, only=True))
            else:
                thin = self.shape.conv(below, width, 1, only=True)
                raised = self.shape.upsample(align_corners=True)
                up.append(nn.Sequential(thin, raised))
        stages = [nn.Sequential(*self._block(2 * w, w)) for w in self.widths[:-1]]
        return _Decoder(up, stages, concatenate=True)

    def _head(self, out_channels: int) -> nn.Module:
        return _Head(self.shape.conv(self.widths[0], out_channels, only=True))
