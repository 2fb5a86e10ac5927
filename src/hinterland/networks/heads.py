"""Heads that methods add to a network."""

from __future__ import annotations

from torch import nn

from hinterland.networks.base import SplitNetwork
from hinterland.networks.initialise import initialise, seeded
from hinterland.networks.roles import mark_end


def map_head(network: SplitNetwork, level: int, out_channels: int, *, seed: int) -> nn.Module:
    """Return a 1x1 convolution from a decoder map to `out_channels`.

    Args:
        network: whose decoder it is for.
        level: of the map, 0 being full resolution.
        out_channels: what it gives.
        seed: of its weights.

    Returns:
        The layer.
    """
    conv = nn.Conv2d if network.dims == 2 else nn.Conv3d
    with seeded(seed):
        head = conv(network.widths[level], out_channels, 1)
        initialise(head)
    return mark_end(head)
