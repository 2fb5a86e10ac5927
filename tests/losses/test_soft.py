"""Losses against soft targets."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from hinterland.losses import soft_dice_loss
from hinterland.losses.soft import soft_cross_entropy, soft_target_dice_loss


def one_hot(labels: torch.Tensor, cells: int) -> torch.Tensor:
    return F.one_hot(labels, cells).movedim(-1, 1).float()


@pytest.mark.parametrize("space", [(5, 4), (3, 4, 5)])
def test_one_hot_targets_give_the_ordinary_losses(space):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, *space, generator=generator)
    labels = torch.randint(4, (2, *space), generator=generator)
    target, log_p = one_hot(labels, 4), logits.log_softmax(1)
    ce = soft_cross_entropy(log_p, target)
    assert float(ce) == pytest.approx(float(F.cross_entropy(logits, labels)), abs=1e-6)
    dice = soft_target_dice_loss(log_p.exp(), target, [1, 2, 3])
    plain = soft_dice_loss(log_p.exp()[:, 1:], target[:, 1:])
    assert float(dice) == pytest.approx(float(plain), abs=1e-6)


def test_partial_mass_by_hand():
    """Two voxels: one with .7 of class 1, one without a target."""
    p = torch.tensor([[[0.2, 0.9], [0.8, 0.1]]])
    target = torch.tensor([[[0.0, 0.0], [0.7, 0.0]]])
    ce = soft_cross_entropy(p.log(), target)
    assert float(ce) == pytest.approx(-0.7 * math.log(0.8))
    dice = soft_target_dice_loss(p, target, [1], smooth=0.0)
    assert float(dice) == pytest.approx(1 - 2 * 0.8 * 0.7 / (0.7 * 0.8 + 0.7))


def test_no_target_is_no_cross_entropy():
    p = torch.full((1, 2, 3), 0.5)
    assert float(soft_cross_entropy(p.log(), torch.zeros_like(p))) == 0
