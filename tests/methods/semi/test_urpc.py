"""URPC: the rectified pyramid loss by hand, and where it counts."""

from __future__ import annotations

import math

import pytest
import torch
from semi_phantoms import LEAVES, batch, context

from hinterland.losses.consistency import rectified_consistency
from hinterland.methods.semi.urpc import UncertaintyRectifiedPyramid
from hinterland.types import Progress


def test_two_scales_and_two_voxels_by_hand():
    # (scales, batch, cells, voxels): the scales agree on voxel 0, and differ on voxel 1
    p = torch.tensor([[[[0.5, 0.8], [0.5, 0.2]]], [[[0.5, 0.4], [0.5, 0.6]]]])
    expected = 0.0
    for a in (0.8, 0.4):  # their mean is 0.6
        kl = a * math.log(a / 0.6) + (1 - a) * math.log((1 - a) / 0.4)
        expected += (0.04 * math.exp(-kl) / (1 + math.exp(-kl)) + kl / 2) / 2
    assert rectified_consistency(p).item() == pytest.approx(expected, abs=1e-6)


def test_scales_that_agree_cost_nothing():
    p = torch.rand(1, 2, 3, 4, 4).softmax(dim=2).expand(3, -1, -1, -1, -1)
    assert rectified_consistency(p).item() == pytest.approx(0, abs=1e-6)


def test_labels_reach_every_scale_and_the_pyramid_only_unlabelled_images():
    method = UncertaintyRectifiedPyramid((LEAVES,))
    networks, items = method.build(context()), batch()
    found = method.losses(networks, items, Progress("train", 0, 10))
    other = batch()
    other.image[:2] += 1  # instance norms: items do not see each other
    changed = method.losses(networks, other, Progress("train", 0, 10))
    assert len(networks.heads) == 1
    assert changed.terms["pyramid"].item() == pytest.approx(found.terms["pyramid"].item(), abs=1e-6)
    assert changed.terms["seg"].item() != pytest.approx(found.terms["seg"].item(), abs=1e-6)
    found.terms["seg"].backward()
    assert all(p.grad is not None for p in networks.heads.parameters())
