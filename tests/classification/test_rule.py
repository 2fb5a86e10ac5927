"""Algorithms 1 and 2 by hand, their fit, and the boosted rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hinterland.classification.boost import boosted, known_nodes
from hinterland.classification.metrics import auroc
from hinterland.classification.rule import (
    MaskCounts,
    binary_label,
    class_probabilities,
    class_probability,
    fit_rule,
)
from hinterland.labels import LabelTree
from hinterland.types import HinterlandError

MASK = np.array([[0.9, 0.7, 0.5], [0.4, 0.1, 0.0]])
TREE = LabelTree({"background": {}, "lesion": {"benign": {}, "malignant": {}}})


def test_algorithm_1_counts_pixels_from_t_on():
    assert binary_label(MASK, t=0.5, tau=3) == 1  # .9, .7 and .5 itself
    assert binary_label(MASK, t=0.5, tau=4) == 0
    assert binary_label(MASK, t=0.51, tau=3) == 0
    assert binary_label(np.ones((10, 10))) == 1  # 100 pixels: the paper's tau
    assert binary_label(np.ones((9, 11))) == 0


def test_algorithm_2_averages_one_side_of_t():
    assert class_probability(MASK, 0.5, tau=3) == pytest.approx((0.9 + 0.7) / 2)
    assert class_probability(MASK, 0.5, tau=4) == pytest.approx((0.5 + 0.4 + 0.1 + 0) / 4)
    assert class_probability(np.full((2, 2), 0.5), 0.5, tau=1) == 0.5  # nothing above t
    assert class_probability(np.full((2, 2), 0.8), 0.5, tau=9) == 0.5  # nothing below


def test_every_class_has_its_channel():
    masks = np.stack([MASK, 1 - MASK])
    assert class_probabilities(masks, 0.5, 3).tolist() == pytest.approx(
        [class_probability(MASK, 0.5, 3), class_probability(1 - MASK, 0.5, 3)]
    )


@given(
    arrays(float, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.floats(0, 1)),
    st.sampled_from([0.25, 0.5, 0.75]),
    st.integers(1, 12),
)
def test_counts_say_what_the_algorithms_say(mask, t, tau):
    counts = MaskCounts.of(mask, (0.25, 0.5, 0.75))
    positive = mask >= t
    assert counts.label(t, tau) == int(positive.sum() >= tau) == binary_label(mask, t, tau)
    side = mask[mask > t] if positive.sum() >= tau else mask[mask <= t]
    expected = side.mean() if side.size else t
    assert counts.score(t, tau) == pytest.approx(expected, abs=1e-9)
    assert counts.only(t).score(t, tau) == counts.score(t, tau)


def test_maps_that_are_no_probabilities_are_refused():
    with pytest.raises(HinterlandError, match="from 0 to 1"):
        class_probability(np.array([0.2, 3.0]))


def _validation() -> tuple[dict[str, MaskCounts], dict[str, int]]:
    """Positives have 20 pixels at .3, negatives 4 at .35 on a brighter background: the mean alone
    says the opposite, and only t < .3 with tau in 5..20 tells them apart."""
    masks, labels = {}, {}
    for i in range(6):
        positive = np.full(400, 0.02 + 0.002 * i)
        positive[:20] = 0.3 + 0.01 * i
        negative = np.full(400, 0.05 + 0.002 * i)
        negative[:4] = 0.35 + 0.01 * i
        masks |= {f"p{i}": MaskCounts.of(positive), f"n{i}": MaskCounts.of(negative)}
        labels |= {f"p{i}": 1, f"n{i}": 0}
    return masks, labels


def test_t_and_tau_are_found_on_validation_cases():
    masks, labels = _validation()
    split = dict.fromkeys(masks, "val")
    rule = fit_rule(masks, labels, split, auroc)
    assert 4 < rule.tau <= 20
    assert rule.t < 0.35
    assert rule.cases == frozenset(masks)
    scores = np.array([masks[n].score(rule.t, rule.tau) for n in masks])
    assert auroc(np.array([labels[n] for n in masks]), scores) == 1
    assert (
        auroc(np.array([labels[n] for n in masks]), np.array([m.score() for m in masks.values()]))
        < 1
    )  # the paper's own t and tau miss these small, faint lesions


def test_of_equally_good_values_the_papers_stay():
    masks = {"a": MaskCounts.of(np.ones(400)), "b": MaskCounts.of(np.zeros(400))}
    rule = fit_rule(masks, {"a": 1, "b": 0}, dict.fromkeys(masks, "val"), auroc)
    assert (rule.t, rule.tau) == (0.5, 100)


@pytest.mark.parametrize("part", ["test", "train"])
def test_the_rule_is_never_fitted_outside_validation(part):
    masks, labels = _validation()
    split = dict.fromkeys(masks, "val") | {"p3": part}
    with pytest.raises(HinterlandError, match=r"p3.*validation cases only"):
        fit_rule(masks, labels, split, auroc)
    with pytest.raises(HinterlandError, match="none"):
        fit_rule(masks, labels, {}, auroc)


def test_one_label_cannot_be_fitted():
    masks, _ = _validation()
    with pytest.raises(HinterlandError, match="both labels"):
        fit_rule(masks, dict.fromkeys(masks, 1), dict.fromkeys(masks, "val"), auroc)


CELLS = TREE.leaves  # background, benign, malignant


def test_a_negative_image_is_zeroed():
    mask = np.array([[0, 1, 2], [2, 2, 0]])
    assert not boosted(mask, CELLS, {"lesion": 0}).any()
    assert boosted(mask, CELLS, {"malignant": 0}).tolist() == [[0, 1, 0], [0, 0, 0]]
    assert mask.any()  # what came is not changed


def test_a_positive_image_with_an_empty_mask_is_left_out():
    assert boosted(np.zeros((2, 2), int), CELLS, {"lesion": 1}) is None
    assert boosted(np.array([[0, 1]]), CELLS, {"malignant": 1}) is None
    kept = boosted(np.array([[0, 1]]), CELLS, {"lesion": 1})
    assert kept.tolist() == [[0, 1]]


def test_presence_is_judged_after_zeroing():
    benign = np.array([[0, 1]])
    assert boosted(benign, CELLS, {"malignant": 1, "benign": 0}) is None
    both = boosted(np.array([[2, 1]]), CELLS, {"malignant": 1, "benign": 0})
    assert both.tolist() == [[2, 0]]


def test_what_the_model_does_not_tell_apart_is_left_alone():
    lesion = TREE.coarsen("lesion")
    mask = np.array([[0, 1]])
    assert boosted(mask, lesion, {"malignant": 1, "benign": 0}).tolist() == mask.tolist()
    assert boosted(mask, lesion, {"lesion": 0}).tolist() == [[0, 0]]


def test_image_labels_name_nodes_or_stand_in_a_column():
    values = {"benign", "malignant", "normal"}
    assert known_nodes({"lesion": 0, "age": "61"}, TREE) == {"lesion": 0}
    assert known_nodes({"class": "malignant"}, TREE) == {}
    found = known_nodes({"class": "malignant"}, TREE, "class", values)
    assert found == {"benign": 0, "malignant": 1}
    assert known_nodes({"class": "normal"}, TREE, "class", values) == {
        "benign": 0, "malignant": 0,
    }  # fmt: skip
