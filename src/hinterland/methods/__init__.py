"""Recipes: which coarsenings the losses see. No files, no Lightning."""

from hinterland.methods.base import BuildContext, Losses, Method, Phase, Quota, Regulariser
from hinterland.methods.registry import make_method, method_names
from hinterland.methods.supervised import Supervised

__all__ = [
    "BuildContext",
    "Losses",
    "Method",
    "Phase",
    "Quota",
    "Regulariser",
    "Supervised",
    "make_method",
    "method_names",
]
