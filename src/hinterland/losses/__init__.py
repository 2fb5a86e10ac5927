"""Pure functions of tensors: Dice and cross entropy at any coarsening, from any annotation."""

from hinterland.losses.marginal import (
    IGNORE,
    marginal_cross_entropy,
    marginalise,
    soft_dice_loss,
)
from hinterland.losses.partition import PartitionLoss, deep_supervision_weights, downsample_rows
from hinterland.losses.reduce import all_sum

__all__ = [
    "IGNORE",
    "PartitionLoss",
    "all_sum",
    "deep_supervision_weights",
    "downsample_rows",
    "marginal_cross_entropy",
    "marginalise",
    "soft_dice_loss",
]
