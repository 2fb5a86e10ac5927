"""Value types: a plan comes back from its text, and a text that is no plan is refused."""

import dataclasses
import json

import pytest

from hinterland.types import Case, HinterlandError, NetworkPlan, Normalisation, Plan

PLAN = Plan(
    dims=2,
    channels=("CT",),
    normalisation=(Normalisation("ct", -900.0, 400.0, -300.0, 250.0),),
    spacing=(None, 0.8, 0.8),
    unit="mm",
    transpose=(0, 1, 2),
    median_shape=(40, 512, 512),
    patch_size=(256, 256),
    batch_size=8,
    batch_dice=True,
    network=NetworkPlan((16, 32), ((1, 1), (2, 2)), ((3, 3), (3, 3))),
    fingerprint="abc",
)


def test_a_plan_comes_back_equal():
    again = Plan.from_json(PLAN.to_json())
    assert again == PLAN
    assert hash(again) == hash(PLAN)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", "{}", '{"network": 3}', PLAN.to_json()[:-5],
     json.dumps({**json.loads(PLAN.to_json()), "colour": 1}),
     json.dumps({**json.loads(PLAN.to_json()), "normalisation": [{"sheme": "ct"}]})],
)  # fmt: skip
def test_other_texts_are_refused(text):
    with pytest.raises(HinterlandError, match=r"this is not a plan: .*`hinterland plan DATASET`"):
        Plan.from_json(text)


def test_hiding_the_label_of_a_case_leaves_the_case_as_it_was(tmp_path):
    case = Case("a", (tmp_path / "a.png",), label=tmp_path / "a_mask.png")
    hidden = case.with_scheme("none")
    assert (case.labelled, hidden.labelled, hidden.label) == (True, False, None)
    assert case.with_scheme("lesion").label == case.label
    with pytest.raises(dataclasses.FrozenInstanceError):
        case.name = "b"
