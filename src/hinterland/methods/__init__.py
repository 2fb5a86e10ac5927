"""Recipes: which coarsenings the losses see. No files, no Lightning."""

from hinterland.methods.base import (
    BuildContext,
    Losses,
    Method,
    Phase,
    Quota,
    Regulariser,
    Teacher,
)
from hinterland.methods.distillation import Distillation
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
    "Distillation",
    "Losses",
    "Method",
    "Phase",
    "Quota",
    "Regulariser",
    "Supervised",
    "Teacher",
    "asks_target",
    "make_method",
    "method_names",
    "register",
    "semi_supervised",
]
