"""Losses: pure functions of tensors first, then modules that look annotations up for them."""

from hinterland.losses.base import VoxelLoss, deep_supervision_weights, downsample_annotation
from hinterland.losses.comparison import Comparison
from hinterland.losses.marginal import (
    IGNORE,
    marginal_cross_entropy,
    marginal_focal_loss,
    marginalise,
    soft_dice_loss,
    soft_tversky_loss,
)
from hinterland.losses.partition import PartitionLoss
from hinterland.losses.reduce import all_sum
from hinterland.losses.registry import LOSSES, LossTerms, register
from hinterland.losses.segmentation import SegmentationLoss

__all__ = [
    "IGNORE",
    "LOSSES",
    "Comparison",
    "LossTerms",
    "PartitionLoss",
    "SegmentationLoss",
    "VoxelLoss",
    "all_sum",
    "deep_supervision_weights",
    "downsample_annotation",
    "marginal_cross_entropy",
    "marginal_focal_loss",
    "marginalise",
    "register",
    "soft_dice_loss",
    "soft_tversky_loss",
]
