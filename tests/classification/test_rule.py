"""Algorithms 1 and 2 by hand, their fit, and the boosted rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.model_selection import StratifiedGroupKFold

from hinterland.classification.dataset.boost import boosted, known_nodes
from hinterland.classification.fitting.rule import (
    MaskCounts,
    Rule,
    binary_label,
    class_probabilities,
    class_probability,
    scaled_tau,
)
from hinterland.classification.fitting.rule_fit import cross_fitted, fit_rule
from hinterland.classification.scores.metrics import auroc
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
    rule = fit_rule(masks, labels, split)
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
    rule = fit_rule(masks, {"a": 1, "b": 0}, dict.fromkeys(masks, "val"))
    assert (rule.t, rule.tau) == (0.5, 100)


@pytest.mark.parametrize("part", ["test", "train"])
def test_the_rule_is_never_fitted_outside_validation(part):
    masks, labels = _validation()
    split = dict.fromkeys(masks, "val") | {"p3": part}
    with pytest.raises(HinterlandError, match=r"p3.*validation cases only"):
        fit_rule(masks, labels, split)
    with pytest.raises(HinterlandError, match="none"):
        fit_rule(masks, labels, {})


def test_one_label_cannot_be_fitted():
    masks, _ = _validation()
    with pytest.raises(HinterlandError, match="both labels"):
        fit_rule(masks, dict.fromkeys(masks, 1), dict.fromkeys(masks, "val"))


def _noise(cases: int, seed: int) -> tuple[dict[str, MaskCounts], dict[str, int]]:
    """Smooth maps that know nothing of the labels."""
    rng = np.random.default_rng(seed)
    masks = {}
    for i in range(cases):
        level, spread = rng.uniform(0.02, 0.3), rng.uniform(0.02, 0.25)
        masks[f"c{i}"] = MaskCounts.of(np.clip(rng.normal(level, spread, 1024), 0, 1))
    return masks, {name: int(i % 2) for i, name in enumerate(masks)}


def test_maps_without_signal_keep_the_default():
    kept = 0
    for seed in range(20):
        masks, labels = _noise(78, seed)
        rule = fit_rule(masks, labels, dict.fromkeys(masks, "val"), default=Rule(0.5, 8))
        kept += (rule.t, rule.tau) == (0.5, 8)
        assert bool(rule.cases) == ((rule.t, rule.tau) != (0.5, 8))
    assert kept >= 19  # the free search found something in every one of them


def test_tau_is_no_larger_than_the_smallest_training_lesion():
    masks, labels = _validation()
    split = dict.fromkeys(masks, "val")
    rule = fit_rule(masks, labels, split, largest=9)
    assert 4 < rule.tau <= 9
    even = {"a": MaskCounts.of(np.ones(400)), "b": MaskCounts.of(np.zeros(400))}
    kept = fit_rule(even, {"a": 1, "b": 0}, dict.fromkeys(even, "val"), largest=30)
    assert (kept.t, kept.tau) == (0.5, 30)


def test_what_calibration_reuses_is_scored_by_a_rule_of_other_patients():
    masks, labels = _validation()
    split = dict.fromkeys(masks, "val")
    default = Rule()
    rule = fit_rule(masks, labels, split, default=default)
    scores = cross_fitted(masks, labels, split, rule, default=default)
    parts = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    names = sorted(masks)
    truth = np.array([labels[n] for n in names])
    for rest, fold in parts.split(truth, truth, np.array(names)):
        others = {names[i]: masks[names[i]] for i in rest}
        chosen = fit_rule(others, labels, split, default=default)
        for i in fold:
            assert scores[names[i]] == masks[names[i]].score(chosen.t, chosen.tau)
    plain = cross_fitted(masks, labels, split, default, default=default)
    assert plain == {n: m.score() for n, m in masks.items()}


def test_tau_scales_with_the_grid():
    assert scaled_tau([(1, 224, 224)]) == 100
    assert scaled_tau([(1, 64, 64), (1, 64, 64), (1, 512, 512)]) == 8
    assert scaled_tau([(1, 4, 4)]) == 1


CELLS = TREE.leaves  # background, benign, malignant


def sure(mask: object, classes: int = 3) -> np.ndarray:
    """Probabilities (cells, *space) of a model that is certain of `mask`."""
    return np.moveaxis(np.eye(classes)[np.array(mask)], -1, 0)


def test_a_negative_image_is_zeroed():
    mask = sure([[0, 1, 2], [2, 2, 0]])
    assert not boosted(mask, CELLS, {"lesion": 0}).any()
    assert boosted(mask, CELLS, {"malignant": 0}).tolist() == [[0, 1, 0], [0, 0, 0]]
    assert (mask == sure([[0, 1, 2], [2, 2, 0]])).all()  # what came is not changed


def test_a_positive_image_with_an_empty_mask_is_left_out():
    assert boosted(sure(np.zeros((2, 2), int)), CELLS, {"lesion": 1}) is None
    assert boosted(sure([[0, 1]]), CELLS, {"malignant": 1}) is None
    kept = boosted(sure([[0, 1]]), CELLS, {"lesion": 1})
    assert kept.tolist() == [[0, 1]]


def test_a_lesion_of_the_wrong_type_gets_the_type_of_the_image_label():
    known = {"malignant": 1, "benign": 0}
    assert boosted(sure([[0, 1]]), CELLS, known).tolist() == [[0, 2]]
    assert boosted(sure([[2, 1]]), CELLS, known).tolist() == [[2, 2]]
    half = np.array([[[0.4, 0.6]], [[0.35, 0.3]], [[0.25, 0.1]]])  # P(lesion) .6 and .4
    assert boosted(half, CELLS, known).tolist() == [[2, 0]]
    assert boosted(half, CELLS, {"lesion": 1, "malignant": 0}).tolist() == [[1, 0]]
    assert boosted(half, CELLS, {"lesion": 0, "malignant": 0, "benign": 0}).tolist() == [[0, 0]]


def test_types_without_a_common_node_are_told_apart_by_their_column():
    flat = LabelTree({"background": {}, "benign": {}, "malignant": {}}).leaves
    known = {"malignant": 1, "benign": 0}
    assert boosted(sure([[0, 1]]), flat, known) is None  # a benign lesion beside a malignant one
    moved = boosted(sure([[0, 1]]), flat, known, alternatives=set(known))
    assert moved.tolist() == [[0, 2]]


def test_what_the_model_does_not_tell_apart_is_left_alone():
    lesion = TREE.coarsen("lesion")
    mask = sure([[0, 1]], 2)
    assert boosted(mask, lesion, {"malignant": 1, "benign": 0}).tolist() == [[0, 1]]
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
