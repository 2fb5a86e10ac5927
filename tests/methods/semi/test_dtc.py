"""DTC: level sets of masks by hand, which are known, and the two tasks' consistency."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from semi_phantoms import EDGE, LEAVES, SPEC, batch, context

from hinterland.losses.level_set import LevelSets, level_set_loss, signed_distance
from hinterland.methods import make_method
from hinterland.methods.semi.dtc import DualTaskConsistency
from hinterland.types import Progress


def test_a_signed_distance_by_hand():
    inside = torch.tensor([[[0, 0, 1, 1, 1, 1, 1, 0, 0, 0]]]).bool()
    expected = [[[2 / 3, 1 / 3, 0, -2 / 3, -1, -2 / 3, 0, 1 / 3, 2 / 3, 1]]]
    assert signed_distance(inside).numpy() == pytest.approx(np.array(expected))
    assert (signed_distance(torch.zeros((1, 2, 2), dtype=torch.bool)) == 1).all()
    assert (signed_distance(torch.ones((1, 2, 2), dtype=torch.bool)) == -1).all()


@pytest.mark.parametrize("shape", [(9, 13), (7, 10, 12)])
@pytest.mark.parametrize("touches", [False, True])
def test_a_signed_distance_is_the_definition(shape, touches):
    """Against all distances to all voxels; for objects within the patch and at its edge."""
    rng = np.random.default_rng(len(shape))
    inside = np.zeros(shape, dtype=bool)
    inner = tuple(slice(0 if touches else 2, n - 2) for n in shape)
    inside[inner] = rng.random(inside[inner].shape) < 0.8
    voxels = np.argwhere(np.ones(shape)).astype(float)

    def to(what):
        there = np.argwhere(what)
        far = np.linalg.norm(voxels[:, None] - there[None], axis=2).min(axis=1)
        return far.reshape(shape)

    outer, within = to(inside), to(~inside)
    expected = np.where(within == 1, 0, outer / outer.max() - within / within.max())
    found = signed_distance(torch.from_numpy(inside)[None])[0].numpy()
    assert np.abs(found - expected).max() < 1e-5


def test_a_level_set_is_known_where_the_labels_decide_the_whole_patch():
    level_sets = LevelSets(LEAVES, SPEC.label_sets)
    full, coarse = (batch(1, 1, scheme).annotation for scheme in ("full", "coarse"))
    known = level_sets(full)[1]
    assert known[0].all()
    assert not known[1].any()
    assert not level_sets(coarse)[1].any(), "ventricle and muscle are not told apart"


def test_what_lies_around_the_image_is_outside_and_costs_nothing():
    """Row 0, as padding has it, next to background: the distances of the patch without it."""
    level_sets = LevelSets(LEAVES, SPEC.label_sets)
    background, ventricle, _ = (
        SPEC.label_sets.label_set_ids(SPEC.scheme("full"))[v] for v in range(3)
    )
    rows = torch.full((1, 6, 6), background)
    rows[0, 2:4, 2:4] = ventricle
    target, known = level_sets(rows)
    assert known.all()
    padded = torch.nn.functional.pad(rows, (0, 2))
    wider, scored = level_sets(padded)
    assert scored[..., :6].all()
    assert not scored[..., 6:].any()
    near = target[0, 0] <= 0
    assert torch.equal(wider[0, 0, :, :6][near], target[0, 0][near])
    assert (wider[0, 1] == 1).all(), "no muscle"
    z = torch.rand(1, 2, 6, 8)
    cost = ((z - wider).square()[..., :6]).mean()
    assert level_set_loss(z, wider, scored).item() == pytest.approx(cost.item(), abs=1e-6)
    padded[0, 2, 4] = 0
    assert not level_sets(padded)[1][0, 0].any(), "the ventricle may go on where nothing is said"
    assert level_sets(padded)[1][0, 1].any()


def test_the_level_set_loss_is_over_known_voxels_object_by_object():
    z = torch.zeros(1, 2, 2, 2)
    target = torch.stack([torch.ones(2, 2), torch.full((2, 2), 0.5)])[None]
    known = torch.zeros(1, 2, 2, 2, dtype=torch.bool)
    assert level_set_loss(z, target, known).item() == 0
    known[0, 1] = True
    assert level_set_loss(z, target, known).item() == pytest.approx(0.25)
    known[0, 0, 0, 0] = True
    assert level_set_loss(z, target, known).item() == pytest.approx((0.25 + 1) / 2)


def test_the_dual_term_compares_probabilities_with_the_smooth_step():
    method = DualTaskConsistency((LEAVES,), steepness=10.0)
    networks, items = method.build(context()), batch()
    found = method.losses(networks, items, Progress("train", 5, 10))
    levels, z, _ = networks.predict(items.image)
    assert z.shape == (4, 2, EDGE, EDGE)
    p = levels[0].softmax(dim=1)[:, list(LEAVES.foreground)]
    dual = (p - 1 / (1 + (10 * z).exp())).square().mean()
    assert found.terms["dual"].item() == pytest.approx(dual.item(), abs=1e-6)
    assert found.weights["dual"] == pytest.approx(math.exp(-5 / 4))
    assert found.weights["distance"] == 0.3


def test_dtc_learns_from_coarse_labels():
    method = make_method("dtc", SPEC, ("top", "leaves"))
    found = method.losses(method.build(context()), batch(scheme="coarse"), Progress("train", 0, 9))
    assert found.terms["distance"].item() == 0
    assert torch.isfinite(found.total)
