"""U-Nets by a plan: nnU-Net's plain one, and the one with a residual encoder."""

from __future__ import annotations

from itertools import chain

from torch import Tensor, nn

from hinterland.networks.architectures.blocks import ResidualBlock, Topology, residual_stack, stack
from hinterland.networks.architectures.decoder import Decoder, Head
from hinterland.networks.base import SplitNetwork
from hinterland.networks.initialise import initialise, seeded


class Encoder(nn.Module):
    """From the image down; `forward` returns the map of every level, highest resolution first.

    A plain level is a stack of convolutions, the first of them strided. With `residual`, the image
    passes a stem (one convolution) and each level is a stack of residual blocks.
    """

    def __init__(self, topology: Topology, in_channels: int, residual: bool) -> None:
        super().__init__()
        widths = topology.features
        if residual:
            self.stem: nn.Module = stack(topology, (in_channels, widths[0]), 0, strided=False)
            entering = (widths[0], *widths[:-1])
            stages = [residual_stack(topology, e, i) for i, e in enumerate(entering)]
        else:
            self.stem = nn.Identity()
            entering = (in_channels, *widths[:-1])
            depths = zip(entering, widths, topology.depths, strict=True)
            stages = [
                stack(topology, [e] + [w] * depth, i, strided=True)
                for i, (e, w, depth) in enumerate(depths)
            ]
        self.stages = nn.ModuleList(stages)
        initialise(self)
        for block in chain.from_iterable(stages):
            if isinstance(block, ResidualBlock):
                block.zero_last_norm()

    def forward(self, x: Tensor) -> list[Tensor]:
        x, features = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class UNet(SplitNetwork):
    """U-Net of a topology; `residual` chooses the encoder, `deep_supervision` the head."""

    pointwise_head = True

    def __init__(
        self,
        topology: Topology,
        in_channels: int,
        out_channels: int,
        *,
        residual: bool = False,
        deep_supervision: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(topology.dims, in_channels, out_channels)
        self.topology = topology
        self.residual = residual
        self.deep_supervision = deep_supervision
        self.widths = topology.features
        with seeded(seed):
            self.encoder = Encoder(topology, in_channels, residual)
            self.decoder = Decoder(topology)
            self.head = Head(topology, out_channels, deep_supervision)

    def make_decoder(self, upsampling: str = "transposed", *, seed: int) -> Decoder:
        with seeded(seed):
            return Decoder(self.topology, upsampling)

    def make_head(self, out_channels: int, *, seed: int) -> Head:
        with seeded(seed):
            return Head(self.topology, out_channels, self.deep_supervision)
