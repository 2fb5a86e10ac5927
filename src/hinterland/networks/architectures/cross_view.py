"""A network with one or two decoders, and a layer that mixes their outputs (CVBM, MC-Net)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, cat, nn

from hinterland.networks.architectures.decoder import UPSAMPLING
from hinterland.networks.base import SplitNetwork
from hinterland.networks.initialise import initialise, seeded


@dataclass(frozen=True)
class Outputs:
    """What a cross-view network computes.

    Logits of the first and the second decoder (levels, highest resolution first), of the mixing
    layer (full resolution), and the feature maps of the encoder and the first decoder.
    """

    first: list[Tensor]
    second: list[Tensor] | None
    mixed: Tensor | None
    features: dict[str, Tensor]


class CrossView(nn.Module):
    """A plain network with a second decoder, and Q_M = psi(Q_1, Q_2).

    One decoder goes up by transposed convolution, the other by interpolation. psi is a 1x1
    convolution of both logits. `network` alone is what inference needs.
    """

    def __init__(self, network: SplitNetwork, *, second: bool, mixing: bool, seed: int) -> None:
        super().__init__()
        self.network = network
        channels = network.out_channels
        other = next(u for u in UPSAMPLING if u != network.upsampling)
        self.decoder = network.make_decoder(other, seed=seed + 1001) if second else None
        self.head = network.make_head(channels, seed=seed + 1002) if second else None
        self.psi: nn.Module | None = None
        if second and mixing:
            conv = nn.Conv2d if network.dims == 2 else nn.Conv3d
            with seeded(seed + 1003):
                self.psi = conv(2 * channels, channels, 1)
                initialise(self.psi)

    def forward(self, image: Tensor) -> Outputs:
        features = self.network.encode(image)
        decoded = self.network.decode(features)
        first = self.network.head(decoded)
        second = self.head(self.decoder(features)) if self.decoder and self.head else None
        mixed = self.psi(cat((first[0], second[0]), dim=1)) if self.psi and second else None
        return Outputs(first, second, mixed, self.network.feature_maps(features, decoded))


class ComplementNetwork(SplitNetwork):
    """A network of complement logits as one of class logits: log(1 - q_k), q = sigmoid(logit).

    With `softmax` the classes are softmax(1 - logits), as `SoftmaxComplement` estimates them.
    Encoder and decoder are the network's own.
    """

    def __init__(self, network: SplitNetwork, *, softmax: bool = False) -> None:
        super().__init__(network.dims, network.in_channels, network.out_channels)
        self.name, self.widths, self.upsampling = network.name, network.widths, network.upsampling
        self.encoder, self.decoder = network.encoder, network.decoder
        self.head: _ComplementHead = _ComplementHead(network.head, softmax)
        self._makers = network.make_decoder, network.make_head

    def make_decoder(self, upsampling: str = "transposed", *, seed: int) -> nn.Module:
        return self._makers[0](upsampling, seed=seed)

    def make_head(self, out_channels: int, *, seed: int) -> nn.Module:
        return _ComplementHead(self._makers[1](out_channels, seed=seed), self.head.softmax)


class _ComplementHead(nn.Module):
    def __init__(self, head: nn.Module, softmax: bool) -> None:
        super().__init__()
        self.inner, self.softmax = head, softmax

    def forward(self, decoded: list[Tensor]) -> list[Tensor]:
        logits = self.inner(decoded)
        return [1 - z if self.softmax else nn.functional.logsigmoid(-z) for z in logits]
