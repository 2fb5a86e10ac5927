"""Networks by name, with feature taps; they take integers, never class names."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hinterland.networks.base import Network, SplitNetwork, require_split
    from hinterland.networks.ema import ema_copy, ema_decay, ema_update
    from hinterland.networks.initialise import seeded
    from hinterland.networks.recipes import OptimiserRecipe, recipe
    from hinterland.networks.registry import NAMES, create, patch_multiple
    from hinterland.networks.unet import UNet

_HOME = {
    "NAMES": "registry",
    "Network": "base",
    "OptimiserRecipe": "recipes",
    "SplitNetwork": "base",
    "UNet": "unet",
    "create": "registry",
    "ema_copy": "ema",
    "ema_decay": "ema",
    "ema_update": "ema",
    "patch_multiple": "registry",
    "recipe": "recipes",
    "require_split": "base",
    "seeded": "initialise",
}

__all__ = [
    "NAMES",
    "Network",
    "OptimiserRecipe",
    "SplitNetwork",
    "UNet",
    "create",
    "ema_copy",
    "ema_decay",
    "ema_update",
    "patch_multiple",
    "recipe",
    "require_split",
    "seeded",
]


def __getattr__(name: str) -> Any:
    """Import on first use: torch and MONAI cost seconds."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
