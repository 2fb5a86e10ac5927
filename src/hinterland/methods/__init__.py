"""Recipes: which coarsenings the losses see. No files, no Lightning."""

from hinterland.methods.base import Losses, Method, Phase, Quota, Regulariser, Setting
from hinterland.methods.registry import make_method, method_names
from hinterland.methods.supervised import Supervised

__all__ = [
    "Losses",
    "Method",
    "Phase",
    "Quota",
    "Regulariser",
    "Setting",
    "Supervised",
    "make_method",
    "method_names",
]
