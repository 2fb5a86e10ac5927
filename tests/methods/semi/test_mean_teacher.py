"""Mean teacher and UA-MT: the consistency term, its ramp, the mask of certain voxels."""

from __future__ import annotations

import math

import pytest
import torch
from semi_phantoms import LEAVES, SPEC, batch, context
from torch import nn

from hinterland.losses.consistency import certain_mse
from hinterland.methods import make_method
from hinterland.methods.parts.teacher import teacher_mode
from hinterland.methods.semi.mean_teacher import MeanTeacher
from hinterland.methods.semi.ua_mt import threshold
from hinterland.types import Progress


def test_consistency_is_the_squared_difference_to_the_teacher_on_all_images():
    method = MeanTeacher((LEAVES,), noise=0.0, consistency=2.0)
    networks, items = method.build(context()), batch()
    with torch.no_grad():
        for p in networks.teacher.parameters():
            p.mul_(0.5)
    found = method.losses(networks, items, Progress("train", 5, 10))
    p = networks.network(items.image).softmax(dim=1)
    taught = networks.teacher(items.image).softmax(dim=1)
    assert found.terms["consistency"].item() == pytest.approx(
        (p - taught).square().mean().item(), abs=1e-7
    )
    assert found.terms["consistency"] > 0
    assert found.weights["consistency"] == pytest.approx(2 * math.exp(-5 / 4))


def test_the_first_update_copies_the_student_and_later_ones_average():
    method = MeanTeacher((LEAVES,))
    networks = method.build(context())
    with torch.no_grad():
        for p in networks.network.parameters():
            p.add_(1.0)
    method.after_step(networks, Progress("train", 0, 10))
    for p, q in zip(networks.network.parameters(), networks.teacher.parameters(), strict=True):
        assert torch.equal(p, q)


def test_a_quiet_teacher_may_keep_its_dropout():
    teacher = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5)).train()
    with teacher_mode(teacher, dropout=True):
        assert [m.training for m in teacher] == [False, True]
    with teacher_mode(teacher):
        assert [m.training for m in teacher] == [False, False]
    assert all(m.training for m in teacher)


def test_only_certain_voxels_count_in_ua_mt():
    p = torch.tensor([[0.5, 0.5], [0.5, 0.5]]).T.reshape(1, 2, 2)
    target = torch.tensor([[1.0, 0.0], [0.5, 0.5]]).T.reshape(1, 2, 2)
    sure_first = torch.tensor([[0.99, 0.01], [0.5, 0.5]]).T.reshape(1, 2, 2)
    assert certain_mse(p, target, sure_first, 0.6).item() == pytest.approx(0.25)
    assert certain_mse(p, target, sure_first, 1.0).item() == pytest.approx(0.125)
    assert certain_mse(p, target, sure_first, 0.0).item() == 0


def test_the_threshold_rises_to_the_entropy_of_a_uniform_voxel():
    assert threshold(1.0, 4) == pytest.approx(math.log(4))
    assert threshold(0.0, 2) == pytest.approx((0.75 + 0.25 * math.exp(-5)) * math.log(2))


@pytest.mark.parametrize("name", ["mean-teacher", "ua-mt"])
def test_coarse_labels_and_two_coarsenings_of_a_mean_teacher(name):
    method = make_method(name, SPEC, ("top", "leaves"))
    found = method.losses(method.build(context()), batch(scheme="coarse"), Progress("train", 0, 10))
    assert torch.isfinite(found.total)
