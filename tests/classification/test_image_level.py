"""Image-level metrics against scikit-learn; thresholds come from validation or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn import metrics as sk

from hinterland.classification.fitting.calibration import calibration_error
from hinterland.classification.scores.metrics import (
    ImageScores,
    YoudenThreshold,
    auprc,
    auroc,
    image_level_table,
    image_metrics,
)
from hinterland.classification.scores.resampling import (
    resample_weights,
    weighted_auprc,
    weighted_auroc,
    weighted_brier,
    weighted_calibration_error,
)
from hinterland.types import HinterlandError


def sample(n: int, seed: int, prefix: str, digits: int = 2) -> ImageScores:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.4).astype(int)
    scores = np.round(rng.normal(labels, 1.0), digits)
    located = rng.random(n) < 0.7
    return ImageScores(tuple(f"{prefix}{i}" for i in range(n)), scores, labels, located)


@pytest.mark.parametrize("digits", [0, 1, 6])  # many ties, some, none
def test_agrees_with_scikit_learn(digits: int) -> None:
    for seed in range(20):
        test = sample(60, seed, "t", digits)
        validation = sample(80, seed + 100, "v", digits)
        threshold = YoudenThreshold.fit(validation)
        found = image_metrics(test, threshold)
        called = test.scores >= threshold.value
        assert auroc(test.labels, test.scores) == pytest.approx(
            sk.roc_auc_score(test.labels, test.scores)
        )
        assert auprc(test.labels, test.scores) == pytest.approx(
            sk.average_precision_score(test.labels, test.scores)
        )
        assert found["balanced_accuracy"] == pytest.approx(
            sk.balanced_accuracy_score(test.labels, called)
        )
        assert found["recall"] == pytest.approx(sk.recall_score(test.labels, called))
        assert found["precision"] == pytest.approx(sk.precision_score(test.labels, called))
        fpr, tpr, _ = sk.roc_curve(validation.labels, validation.scores)
        on_validation = validation.scores >= threshold.value
        assert sk.balanced_accuracy_score(validation.labels, on_validation) == pytest.approx(
            (1 + (tpr - fpr).max()) / 2
        )


def test_strict_recall_needs_the_right_region() -> None:
    threshold = YoudenThreshold.fit(ImageScores(("a", "b"), np.array([0.0, 1.0]), np.array([0, 1])))
    assert threshold.value == 0.5
    test = ImageScores(
        ("c", "d", "e", "f"), np.array([0.9, 0.8, 0.1, 0.7]), np.array([1, 1, 1, 0]),
        np.array([True, False, True, True]),
    )  # fmt: skip
    found = image_metrics(test, threshold)
    assert found["recall"] == pytest.approx(2 / 3)
    assert found["strict_recall"] == pytest.approx(1 / 3)


def test_the_threshold_cannot_see_the_test_set() -> None:
    test = sample(30, 0, "t")
    with pytest.raises(HinterlandError, match="used to fit the threshold"):
        image_metrics(test, YoudenThreshold.fit(test))


def test_one_label_only() -> None:
    labels = np.ones(4, int)
    scores = ImageScores(tuple("abcd"), np.arange(4.0), labels)
    with pytest.raises(HinterlandError, match="both labels"):
        YoudenThreshold.fit(scores)
    assert np.isnan(auroc(labels, scores.scores))
    assert np.isnan(auprc(1 - labels, scores.scores))


def test_bad_scores() -> None:
    with pytest.raises(HinterlandError, match="one of each per case"):
        ImageScores(("a",), np.zeros(2), np.zeros(1))
    with pytest.raises(HinterlandError, match=r"'b' is not a finite"):
        ImageScores(("a", "b"), np.array([0, np.nan]), np.zeros(2))
    with pytest.raises(HinterlandError, match="must be 0 or 1"):
        ImageScores(("a",), np.zeros(1), np.array([2]))


def test_intervals_hold_the_value() -> None:
    table = image_level_table(sample(80, 3, "t"), YoudenThreshold.fit(sample(80, 4, "v")),
                              resamples=300)  # fmt: skip
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()
    assert list(table["metric"])[:2] == ["auroc", "auprc"]
    assert (table["high"] - table["low"] < 0.5).all()


def test_intervals_cover_the_auroc_of_the_population() -> None:
    truth = float(norm.cdf(1 / np.sqrt(2)))  # P(N(1, 1) > N(0, 1))
    threshold = YoudenThreshold.fit(sample(80, 0, "v", digits=6))
    covered = []
    for seed in range(150):
        test = sample(100, 1000 + seed, "t", digits=6)
        row = image_level_table(test, threshold, resamples=200).set_index("metric").loc["auroc"]
        covered.append(row["low"] <= truth <= row["high"])
    # nominal 0.95, binomial standard error 0.018, percentile intervals are a little short
    assert 0.88 <= np.mean(covered) <= 0.995


@pytest.mark.parametrize("digits", [0, 1, 6])
def test_weighted_metrics_agree_with_scikit_learn(digits: int) -> None:
    test = sample(40, 3, "t", digits)
    weights, units = resample_weights(test.cases, None, 25, seed=1)
    assert units == 40
    assert weights.sum(axis=1) == pytest.approx(40)
    areas = weighted_auroc(test.labels, test.scores, weights)
    precisions = weighted_auprc(test.labels, test.scores, weights)
    p = norm.cdf(test.scores)
    errors = weighted_calibration_error(test.labels, p, weights)
    for i, w in enumerate(weights):
        assert areas[i] == pytest.approx(
            sk.roc_auc_score(test.labels, test.scores, sample_weight=w)
        )
        assert precisions[i] == pytest.approx(
            sk.average_precision_score(test.labels, test.scores, sample_weight=w)
        )
        drawn = np.repeat(np.arange(40), w.astype(int))
        assert errors[i] == pytest.approx(calibration_error(p[drawn], test.labels[drawn]))
        assert weighted_brier(test.labels, p, w[None])[0] == pytest.approx(
            sk.brier_score_loss(test.labels, p, sample_weight=w)
        )


def test_weights_of_one_label_have_no_area() -> None:
    labels, scores = np.array([0, 1, 1]), np.array([0.2, 0.1, 0.9])
    weights = np.array([[0.0, 1, 2], [3, 0, 0], [1, 1, 1]])
    assert weighted_auroc(labels, scores, weights) == pytest.approx(
        [np.nan, np.nan, 0.5], nan_ok=True
    )
    assert weighted_auprc(labels, scores, weights)[1] != weighted_auprc(labels, scores, weights)[1]


def test_patients_are_drawn_whole() -> None:
    weights, units = resample_weights(list("abcd"), ["p", "q", "p", "q"], 50, seed=0)
    assert units == 2
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 0] + weights[:, 1] == 2).all()
