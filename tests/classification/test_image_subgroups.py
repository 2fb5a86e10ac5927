"""Robust AUROC, recall by subgroup, and how often bootstrap intervals hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from hinterland.classification.scores.metrics import ImageScores, YoudenThreshold, auroc
from hinterland.classification.scores.subgroups import (
    against_correlation,
    auroc_interval,
    place_of,
    recall_by,
    size_groups,
)
from hinterland.types import HinterlandError


def scores_of(rng: np.random.Generator, n: int = 60, shift: float = 1.0) -> ImageScores:
    labels = np.repeat([0, 1], n // 2)
    return ImageScores(tuple(str(i) for i in range(n)), rng.normal(size=n) + shift * labels, labels)


def test_bootstrap_intervals_cover_the_true_auroc():
    """AUROC of two normals one deviation apart is Phi(1 / sqrt 2) = .760."""
    truth = norm.cdf(1 / np.sqrt(2))
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(40):
        value, low, high = auroc_interval([scores_of(rng)], resamples=150, seed=seed)
        assert low <= value <= high
        hits += low <= truth <= high
    assert 0.85 <= hits / 40 <= 1.0


def test_of_several_classes_it_is_their_mean():
    rng = np.random.default_rng(1)
    one, two = scores_of(rng), scores_of(rng, shift=0.2)
    value, *_ = auroc_interval([one, two], resamples=20)
    assert value == pytest.approx(
        (auroc(one.labels, one.scores) + auroc(two.labels, two.scores)) / 2
    )


def test_patients_are_resampled_whole():
    rng = np.random.default_rng(2)
    single = scores_of(rng, 40)
    many = ImageScores(
        tuple(f"{c}/{k}" for k in range(5) for c in single.cases),
        np.tile(single.scores, 5), np.tile(single.labels, 5),
    )  # fmt: skip
    groups = [c.split("/")[0] for c in many.cases]
    _, low, high = auroc_interval([single], resamples=400)
    _, low5, high5 = auroc_interval([many], groups=groups, resamples=400)
    _, low_cases, high_cases = auroc_interval([many], resamples=400)
    assert (low5, high5) == pytest.approx((low, high), abs=0.05)
    assert high_cases - low_cases < 0.7 * (high5 - low5)  # scans are no patients


def test_the_robust_subgroup_breaks_the_correlation():
    test = ImageScores(("a", "b", "c", "d"), np.array([0.9, 0.2, 0.8, 0.1]), np.array([1, 1, 0, 0]))
    mark = {"a": 1, "b": 0, "c": 1, "d": 0}  # the score follows the mark, not the class
    robust = against_correlation(test, mark)
    assert robust.cases == ("b", "c")
    assert auroc(test.labels, test.scores) == 0.75
    assert auroc(robust.labels, robust.scores) == 0
    with pytest.raises(HinterlandError, match="of 1 cases with a mark"):
        against_correlation(test, {"a": 1})
    more = ImageScores((*test.cases, "e"), np.append(test.scores, 0.5), np.append(test.labels, 1))
    assert against_correlation(more, mark).cases == ("b", "c")  # nothing is known of "e"
    with pytest.raises(HinterlandError, match="negatives with it"):
        against_correlation(test, dict.fromkeys("abcd", 0))


def test_recall_by_subgroup():
    test = ImageScores(
        tuple("abcde"), np.array([0.9, 0.8, 0.2, 0.9, 0.9]), np.array([1, 1, 1, 1, 0]),
        np.array([True, False, True, True, True]),
    )  # fmt: skip
    threshold = YoudenThreshold(0.5, frozenset({"x"}))
    table = recall_by(test, threshold, {"a": "small", "b": "small", "c": "small", "d": "large"})
    assert table["subgroup"].tolist() == ["large", "small"]
    assert table["recall"].tolist() == pytest.approx([1, 2 / 3])
    assert table["strict_recall"].tolist() == pytest.approx([1, 1 / 3])
    assert table["positives"].tolist() == [1, 3]
    with pytest.raises(HinterlandError, match="fit the threshold"):
        recall_by(test, YoudenThreshold(0.5, frozenset({"a"})), {})


def test_places_and_sizes():
    mask = np.zeros((1, 10, 10), bool)
    assert place_of(mask) == ""
    mask[0, 1:3, 7:9] = True
    assert place_of(mask) == "upper right"
    volume = np.zeros((4, 10, 10), bool)
    volume[3, 8, 1] = True
    assert place_of(volume) == "lower left, last slices"
    groups = size_groups({"a": 1.0, "b": 2.0, "c": 3.0, "z": 0.0})
    assert [groups[c][0] for c in "abc"] == ["1", "2", "3"]
    assert "z" not in groups
