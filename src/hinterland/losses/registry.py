"""Segmentation losses by the names that `--set loss=NAME` knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from hinterland.losses.comparison import Comparison
from hinterland.losses.marginal import dice_of, tversky_of
from hinterland.types.registry import Registry

Term = Callable[[Comparison], Tensor]
LossTerms = Mapping[str, Term]
"""The terms of a loss, by the names they are logged under; their sum is the loss."""


def cross_entropy_term(found: Comparison) -> Tensor:
    """Return -log of the probability that the annotation leaves open, its mean over voxels."""
    return found.cross_entropy()


def focal_term(found: Comparison) -> Tensor:
    """Return the cross entropy with the weight (1 - p)^2 of a voxel's annotated probability p."""
    return found.focal()


def dice_term(found: Comparison) -> Tensor:
    """Return 1 - soft Dice, its mean over the foreground groups."""
    return dice_of(found.sums(), batch=found.batch)


def tversky_term(found: Comparison) -> Tensor:
    """Return 1 - Tversky index with false positives at 0.3 and false negatives at 0.7."""
    return tversky_of(found.sums(), batch=found.batch)


LOSSES: Registry[LossTerms] = Registry(
    "loss",
    "hinterland.losses",
    {
        "dice-ce": {"ce": cross_entropy_term, "dice": dice_term},
        "dice": {"dice": dice_term},
        "ce": {"ce": cross_entropy_term},
        "focal": {"focal": focal_term},
        "tversky": {"tversky": tversky_term},
    },
)
register = LOSSES.register
