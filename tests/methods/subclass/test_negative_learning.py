"""The penalty on classes outside the annotated superclass."""

from __future__ import annotations

import math

import pytest
import torch
from factories import spec_of

from hinterland.losses.negative import NegativeLoss
from hinterland.methods import make_method
from hinterland.types import HinterlandError

SPEC = spec_of(
    {"background": {}, "heart": {"RV": {}, "LV": {}}},
    schemes={
        "full": {0: "background", 1: "RV", 2: "LV"},
        "coarse": {0: "background", 1: "heart"},
    },
)
FULL = SPEC.label_sets.label_set_ids(SPEC.scheme("full"))
COARSE = SPEC.label_sets.label_set_ids(SPEC.scheme("coarse"))
P = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.2, 0.2, 0.6], [0.7, 0.1, 0.2]])
LOGITS = P.log().T[None]  # (1, cells, 4 voxels)


def loss(rows: list[int], form: str) -> float:
    module = NegativeLoss(SPEC.tree.leaves, SPEC.label_sets, form)
    return float(module(LOGITS, torch.tensor([rows])))


def test_superclass_form_by_hand():
    """One background voxel, two heart voxels, one fine voxel that does not count."""
    rows = [COARSE[0], COARSE[1], COARSE[1], FULL[1]]
    expected = -math.log(0.5) - (math.log(0.9) + math.log(0.8)) / 2
    assert loss(rows, "superclass") == pytest.approx(expected, abs=1e-6)


def test_classes_form_by_hand():
    rows = [COARSE[0], COARSE[1], COARSE[1], FULL[1]]
    background = -(math.log(1 - 0.3) + math.log(1 - 0.2)) / 2
    heart = -math.log(1 - 0.1) - math.log(1 - 0.2)
    assert loss(rows, "classes") == pytest.approx((background + heart) / 3, abs=1e-6)


@pytest.mark.parametrize("form", ["superclass", "classes"])
def test_fine_items_are_not_penalised_and_certainty_stays_finite(form):
    assert loss([FULL[0], FULL[1], FULL[2], 0], form) == 0
    module = NegativeLoss(SPEC.tree.leaves, SPEC.label_sets, form)
    logits = torch.tensor([[[0.0], [200.0], [0.0]]], requires_grad=True)
    value = module(logits, torch.tensor([[COARSE[0]]]))
    value.backward()
    assert math.isfinite(float(value.detach()))
    assert float(value.detach()) > 50
    assert logits.grad.isfinite().all()
    assert logits.grad[0, 1, 0] > 0


def test_method_and_refusal():
    method = make_method("negative-learning", SPEC)
    assert method.cells == SPEC.tree.leaves
    assert [q.where["scheme"] for q in method.phases()[0].quotas] == [("full",), ("coarse",)]
    assert make_method(method.name, SPEC, method.on, method.options) == method
    with pytest.raises(HinterlandError, match="form"):
        make_method("negative-learning", SPEC, options={"form": "other"})
