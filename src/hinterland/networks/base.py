"""What every network promises, and what one with encoder and decoder apart promises more."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn


class Network(nn.Module, ABC):
    """Image (B, in_channels, *spatial) to logits (B, out_channels, *spatial), `dims` axes."""

    name: str = ""
    """The name that `create` knows it by; set by `create`."""

    def __init__(self, dims: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.dims = dims
        self.in_channels = in_channels
        self.out_channels = out_channels

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return logits at full resolution."""

    def logits(self, x: Tensor) -> list[Tensor]:
        """Return logits, highest resolution first: one, or one a level under deep supervision."""
        return [self(x)]

    def logits_and_maps(self, x: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Return `logits`, and the feature maps that `feature_widths` names."""
        return self.logits(x), {}

    def feature_widths(self) -> dict[str, int]:
        """Return the channels of each feature map that the network shows; {} where it shows none.

        Names are "encoder.0", ..., "bottleneck", "decoder.0", ...; 0 is full resolution.
        """
        return {}


def map_widths(encoder: Sequence[int], decoder: Sequence[int]) -> dict[str, int]:
    """Name the feature maps of a U-shaped network, with their channels.

    Args:
        encoder: channels of the encoder's maps, full resolution first; the last is the bottleneck.
        decoder: channels of the decoder's maps, full resolution first.

    Returns:
        "encoder.0", ..., "bottleneck", "decoder.0", ... -> channels.
    """
    names = [f"encoder.{i}" for i in range(len(encoder) - 1)] + ["bottleneck"]
    names += [f"decoder.{i}" for i in range(len(decoder))]
    return dict(zip(names, (*encoder, *decoder), strict=True))


class SplitNetwork(Network):
    """A network that is `encode`, then `decode`, then `head`, each a module of its own.

    A subclass sets the modules `encoder`, `decoder` and `head`, and says with `make_decoder` and
    `make_head` how a method gets further ones that fit the same encoder.
    """

    encoder: nn.Module
    decoder: nn.Module
    head: nn.Module
    widths: tuple[int, ...]
    """Channels of the encoder's levels, highest resolution first; the last is the bottleneck."""
    upsampling: str = "transposed"
    """How the network's own decoder goes up; `make_decoder` has both ways."""
    pointwise_head: bool = False
    """Whether, in evaluation, logits come from a voxel's own features on the highest map alone."""

    def encode(self, x: Tensor) -> list[Tensor]:
        """Return the feature maps, highest resolution first; the last one is the bottleneck."""
        return self.encoder(x)

    def decode(self, features: list[Tensor]) -> list[Tensor]:
        """Return the decoder's maps, highest resolution first, one fewer than `features`."""
        return self.decoder(features)

    def logits(self, x: Tensor) -> list[Tensor]:
        return self.head(self.decode(self.encode(x)))

    def logits_and_maps(self, x: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
        features = self.encode(x)
        decoded = self.decode(features)
        return self.head(decoded), self.feature_maps(features, decoded)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x)[0]

    def feature_maps(
        self, features: Sequence[Tensor], decoded: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """Name the maps: "encoder.0", ..., "bottleneck", "decoder.0", ...; 0 is full resolution."""
        return dict(zip(self.feature_widths(), (*features, *decoded), strict=True))

    def feature_widths(self) -> dict[str, int]:
        """Return the channels of each feature map, in the order of `feature_maps`."""
        return map_widths(self.widths, self.widths[:-1])

    @abstractmethod
    def make_decoder(self, upsampling: str = "transposed", *, seed: int) -> nn.Module:
        """Make another decoder for this encoder, freshly initialised: `decoder(features) -> list`.

        `upsampling` is "transposed" (convolution) or "interpolate" (linear). Two decoders of one
        kind and one seed are equal: give each its own seed.
        """

    @abstractmethod
    def make_head(self, out_channels: int, *, seed: int) -> nn.Module:
        """Make a further head for a decoder of this network, `head(decoded) -> list of logits`."""


def forward_with_features(
    network: Network, image: Tensor
) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Return the logits of every deep supervision level, and the named feature maps if any.

    Args:
        network: shows those maps that its `feature_widths` names.
        image: (batch, channels, *space).
    """
    return network.logits_and_maps(image)
