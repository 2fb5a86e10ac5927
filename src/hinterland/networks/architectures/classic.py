"""The two backbones of the semi-supervised literature: V-Net as in UA-MT, U-Net as in SSL4MIS.

Both normalise by batch. They are re-stated here with encoder, decoder and head apart; their sizes
(9.45 M and 1.81 M parameters at 16 filters) are those that papers print.
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from hinterland.networks.architectures.layers import layer
from hinterland.networks.architectures.stages import (
    ConvHead,
    FiveLevels,
    StageDecoder,
    StageEncoder,
)

_DEPTHS = (1, 2, 3, 3, 3)
_DROPOUT = (0.05, 0.1, 0.2, 0.3, 0.5)


class VNet(FiveLevels):
    """V-Net without residuals: 1, 2, 3, 3, 3 convolutions a level, strided down, skips summed.

    Channel dropout of one half on the bottleneck and on the last decoder map, as in UA-MT.
    """

    def _stack(self, width: int, depth: int, entering: int | None = None) -> list[nn.Module]:
        widths = [entering or width] + [width] * depth
        return [self.shape.conv(a, b, act="relu") for a, b in pairwise(widths)]

    def _drop(self) -> nn.Module:
        return layer("dropout", self.dims, 0.5)

    def _encoder(self) -> nn.Module:
        stages = [nn.Sequential(*self._stack(self.widths[0], 1, self.in_channels))]
        for (above, width), depth in zip(pairwise(self.widths), _DEPTHS[1:], strict=True):
            down = self.shape.conv(above, width, 2, 2, act="relu")
            stages.append(nn.Sequential(down, *self._stack(width, depth)))
        stages[-1].append(self._drop())
        return StageEncoder(stages)

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
        return StageDecoder(up, stages, concatenate=False)

    def _head(self, out_channels: int) -> nn.Module:
        return ConvHead(self.shape.conv(self.widths[0], out_channels, 1, only=True))


class UNetSSL4MIS(FiveLevels):
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
            pool = [layer("max", self.dims, 2)] if i else []
            stages.append(nn.Sequential(*pool, *self._block(e, width, p)))
        return StageEncoder(stages)

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
        return StageDecoder(up, stages, concatenate=True)

    def _head(self, out_channels: int) -> nn.Module:
        return ConvHead(self.shape.conv(self.widths[0], out_channels, only=True))
