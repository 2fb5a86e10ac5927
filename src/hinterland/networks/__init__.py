"""Networks by name, with named feature maps; they take integers, never class names."""

from hinterland.networks.architectures.unet import UNet
from hinterland.networks.base import Network, SplitNetwork
from hinterland.networks.container import Networks
from hinterland.networks.ema import ema_copy, ema_decay, ema_update
from hinterland.networks.entry import NetworkEntry
from hinterland.networks.initialise import seeded
from hinterland.networks.recipes import OptimiserRecipe
from hinterland.networks.registry import (
    NETWORKS,
    create,
    network_names,
    patch_multiple,
    recipe,
    register,
    require_maps,
    require_split,
)

__all__ = [
    "NETWORKS",
    "Network",
    "NetworkEntry",
    "Networks",
    "OptimiserRecipe",
    "SplitNetwork",
    "UNet",
    "create",
    "ema_copy",
    "ema_decay",
    "ema_update",
    "network_names",
    "patch_multiple",
    "recipe",
    "register",
    "require_maps",
    "require_split",
    "seeded",
]
