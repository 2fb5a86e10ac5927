"""The paired test of two AUROCs: by its definition, under the null, and on written evaluations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest, norm
from sklearn.metrics import roc_auc_score

from hinterland.classification.evaluation.compare import compare_classifiers
from hinterland.classification.scores.delong import delong
from hinterland.types import HinterlandError


def by_definition(labels: np.ndarray, *scores: np.ndarray) -> tuple[float, float]:
    """Difference and its error from all pairs, with the covariance matrices as DeLong has them."""
    truth = labels == 1
    kernels = []
    for s in scores:
        x, y = s[truth][:, None], s[~truth][None]
        kernels.append((x > y) + 0.5 * (x == y))
    v10 = np.stack([k.mean(axis=1) for k in kernels])
    v01 = np.stack([k.mean(axis=0) for k in kernels])
    covariance = np.cov(v10) / v10.shape[1] + np.cov(v01) / v01.shape[1]
    contrast = np.array([-1, 1])
    areas = [k.mean() for k in kernels]
    return areas[1] - areas[0], float(np.sqrt(contrast @ covariance @ contrast))


@pytest.mark.parametrize("digits", [0, 1, 8])  # many ties, some, none
def test_it_is_delongs_test(digits: int) -> None:
    rng = np.random.default_rng(digits)
    for _ in range(10):
        labels = np.append(rng.integers(0, 2, 36), [0, 0, 1, 1])
        first = np.round(rng.normal(labels, 1), digits)
        second = np.round(0.5 * first + rng.normal(labels, 1), digits)
        found = delong(labels, first, second)
        difference, error = by_definition(labels, first, second)
        assert found.first == pytest.approx(roc_auc_score(labels, first))
        assert found.second == pytest.approx(roc_auc_score(labels, second))
        assert found.difference == pytest.approx(difference)
        assert found.error == pytest.approx(error)
        assert found.p == pytest.approx(2 * norm.sf(abs(difference) / error))
        assert found.high - found.low == pytest.approx(2 * 1.959964 * error)


def test_p_is_uniform_where_nothing_differs() -> None:
    rng = np.random.default_rng(1)
    values = []
    for _ in range(300):
        labels = np.repeat([0, 1], 60)
        shared = rng.normal(labels, 1)
        first, second = (shared + rng.normal(size=120) for _ in range(2))
        values.append(delong(labels, first, second).p)
    assert kstest(values, "uniform").pvalue > 0.01


def test_a_classifier_does_not_differ_from_itself() -> None:
    labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.3, 0.9])
    assert delong(labels, scores, scores).p == 1
    assert delong(labels, scores, 2 * scores).difference == 0
    with pytest.raises(HinterlandError, match="two cases of each"):
        delong(np.array([0, 0, 1]), np.zeros(3), np.zeros(3))


def evaluation(folder: Path, scores: np.ndarray, labels: np.ndarray, groups: list[str]) -> Path:
    (folder / "evaluation").mkdir(parents=True)
    names = [f"c{i}" for i in range(len(labels))]
    words = np.array(["no lesion", "lesion"])
    table = pd.DataFrame(
        {"case": names, "group": groups, "score: no lesion": 1 - scores, "score: lesion": scores,
         "class": words[(scores >= 0.5).astype(int)], "label": words[labels]}
    )  # fmt: skip
    table.to_csv(folder / "evaluation" / "predictions.csv", index=False)
    summary = {"unit": "case", "task": "lesion"}
    (folder / "evaluation" / "summary.json").write_text(json.dumps(summary))
    return folder


def test_evaluations_are_compared_case_by_case(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 80)
    poor = rng.random(80)
    good = np.clip(0.25 + 0.5 * labels + rng.normal(0, 0.15, 80), 0, 1)
    alone = [f"p{i}" for i in range(80)]
    a = evaluation(tmp_path / "a", poor, labels, alone)
    b = evaluation(tmp_path / "b", good, labels, alone)
    table = compare_classifiers(a, b).set_index("metric")
    expected = delong(labels, poor, good)
    assert table.loc["auroc", "difference"] == pytest.approx(expected.difference)
    assert table.loc["auroc", "p"] == pytest.approx(expected.p)
    assert table.loc["auroc", "test"] == "DeLong"
    assert table.loc["balanced_accuracy", "p"] < 0.01
    assert table.loc["balanced_accuracy", "low"] > 0
    pairs = [f"p{i // 2}" for i in range(80)]
    c = evaluation(tmp_path / "c", poor, labels, pairs)
    d = evaluation(tmp_path / "d", good, labels, pairs)
    clustered = compare_classifiers(c, d).set_index("metric")
    assert clustered.loc["auroc", "test"] == "paired bootstrap"  # scans of one patient are alike
    assert clustered.loc["auroc", "low"] == pytest.approx(expected.low, abs=0.06)


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    labels, scores = np.array([0, 1, 0, 1]), np.linspace(0, 1, 4)
    a = evaluation(tmp_path / "a", scores, labels, list("pqrs"))
    with pytest.raises(HinterlandError, match="classify evaluate"):
        compare_classifiers(a, tmp_path / "nowhere")
    b = evaluation(tmp_path / "b", scores, 1 - labels, list("pqrs"))
    with pytest.raises(HinterlandError, match="different labels of 'c0'"):
        compare_classifiers(a, b)
