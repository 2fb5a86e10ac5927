"""Recipes: which coarsenings the losses see. No files, no Lightning."""

from hinterland.methods.base import BuildContext, Losses, Method, Phase, Quota, Regulariser
from hinterland.methods.registry import (
    METHODS,
    asks_target,
    make_method,
    method_names,
    register,
    semi_supervised,
)
from hinterland.methods.supervised import Supervised

__all__ = [
    "METHODS",
    "BuildContext",
    "Losses",
    "Method",
    "Phase",
    "Quota",
    "Regulariser",
    "Supervised",
    "asks_target",
    "make_method",
    "method_names",
    "register",
    "semi_supervised",
]
