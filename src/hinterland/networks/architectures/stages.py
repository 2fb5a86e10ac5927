"""What networks of five levels have in common: their layers, and how their parts are made.

Every axis is halved between two levels. Encoder, decoder and head are apart, so that a method may
have further ones, and decoders may look at skip connections through gates.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, cat, nn

from hinterland.networks.architectures.blocks import norm_layer
from hinterland.networks.architectures.decoder import UPSAMPLING
from hinterland.networks.architectures.layers import Convolution
from hinterland.networks.base import SplitNetwork
from hinterland.networks.initialise import initialise, seeded
from hinterland.networks.roles import mark_end
from hinterland.types import HinterlandError

LEVELS = 5


@dataclass(frozen=True)
class Shape:
    """What the layers of a backbone have in common; `widths` from the highest resolution down."""

    dims: int
    widths: tuple[int, ...]
    norm: str

    def conv(
        self, entering: int, leaving: int, kernel: int = 3, stride: int = 1, dropout: float = 0.0,
        act: str | None = "leakyrelu", transposed: bool = False, only: bool = False,
        order: str = "NAD", groups: int = 1, dilation: int = 1,
    ) -> nn.Module:  # fmt: skip
        """Make a convolution with norm, activation and dropout (`order`); with `only`, it alone.

        Args:
            entering: channels of the input.
            leaving: channels of the output.
            kernel: edge in voxels.
            stride: in voxels.
            dropout: probability that a channel is dropped.
            act: name of the activation (`ACTIVATIONS`); None leaves it away.
            transposed: whether it makes the map larger.
            only: whether norm, activation and dropout are left away.
            order: of norm (N), activation (A) and dropout (D).
            groups: of channels.
            dilation: in voxels.

        Returns:
            The layers.
        """
        return Convolution(
            self.dims, (entering, leaving), kernel, stride, norm=norm_layer(self.norm),
            act=(act, {}) if act else None, dropout=dropout, order="" if only else order,
            transposed=transposed, padding=0 if kernel == stride else (kernel - 1) // 2 * dilation,
            bias=only or not order.startswith("N"), groups=groups, dilation=dilation,
        )  # fmt: skip

    def upsample(self, align_corners: bool) -> nn.Module:
        """Make a layer that interpolates linearly to twice the size."""
        mode = "bilinear" if self.dims == 2 else "trilinear"
        return nn.Upsample(scale_factor=2.0, mode=mode, align_corners=align_corners)


class FiveLevels(SplitNetwork):
    """Encoder, decoder and head of five levels, of layers that a subclass names.

    There is no deep supervision.
    """

    base: int = 16
    """Channels of the highest level where no widths are given; doubled at each level."""

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
        self.widths = tuple(widths or (self.base * 2**i for i in range(LEVELS)))
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


class StageEncoder(nn.Module):
    """Stages one after the other; the maps of all of them."""

    def __init__(self, stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class StageDecoder(nn.Module):
    """Joins the encoder's map by sum (V-Net) or by concatenation (U-Net).

    gates: one for each map, `gate(skip, below) -> skip`, `below` the decoder's map one level down;
    or none.
    """

    def __init__(
        self,
        up: Sequence[nn.Module],
        stages: Sequence[nn.Module],
        concatenate: bool = True,
        gates: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__()
        self.up, self.stages = nn.ModuleList(up), nn.ModuleList(stages)
        self.gates = nn.ModuleList(gates)
        self.concatenate = concatenate

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        x, decoded = features[-1], []
        for level in reversed(range(len(self.stages))):
            skip, raised = features[level], self.up[level](x)
            if len(self.gates):
                skip = self.gates[level](skip, x)
            stage = self.stages[level]
            x = stage(cat((skip, raised), dim=1) if self.concatenate else raised + skip)
            decoded.append(x)
        return decoded[::-1]


class ConvHead(nn.Module):
    """Logits from the highest decoder map, by the layer given."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = mark_end(layer)

    def forward(self, decoded: list[Tensor]) -> list[Tensor]:
        return [self.layer(decoded[0])]
