"""A further prediction from one map of a decoder: a 1x1 convolution."""

from __future__ import annotations

from torch import nn

from hinterland.networks.base import SplitNetwork
from hinterland.networks.initialise import initialise, seeded
from hinterland.networks.roles import mark_end


def map_head(network: SplitNetwork, level: int, out_channels: int, *, seed: int) -> nn.Module:
    """From the decoder's map of a level (0: full resolution) to `out_channels`."""
    conv = nn.Conv2d if network.dims == 2 else nn.Conv3d
    with seeded(seed):
        head = conv(network.widths[level], out_channels, 1)
        initialise(head)
    return mark_end(head)
