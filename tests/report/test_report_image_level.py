"""Does an image hold the class: counts, AUROC, reliability; in the report of a comparison."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_study import make_study
from sklearn.metrics import roc_auc_score

from hinterland.report.compare import compare
from hinterland.report.image_level import (
    ImageAnswers,
    answers_of_classifier,
    reliability_bins,
)
from hinterland.types import HinterlandError


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=3, max_size=40))
def test_auroc_is_that_of_scikit_learn(pairs: list[tuple[bool, int]]) -> None:
    truth = np.array([t for t, _ in pairs])
    score = np.array([s for _, s in pairs], float)
    answers = ImageAnswers("m", "c", truth, score > 0, score, np.arange(len(truth)).astype(str))
    if answers.both:
        assert answers.auroc == pytest.approx(roc_auc_score(truth, score))
    else:
        assert np.isnan(answers.auroc)


def test_the_interval_is_over_patients() -> None:
    rng = np.random.default_rng(3)
    truth = np.arange(40) % 2 == 0
    score = truth + rng.normal(0, 1, 40)
    alone = ImageAnswers("m", "c", truth, score > 0.5, score, np.arange(40).astype(str))
    low, high = alone.interval()
    assert low < alone.auroc < high
    few = ImageAnswers("m", "c", truth, score > 0.5, score, (np.arange(40) // 8).astype(str))
    assert few.interval() != (low, high)


def test_bins_of_reliability_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    score, truth = rng.random(200), rng.random(200) < 0.4
    answers = ImageAnswers("m", "c", truth, score > 0.5, score, np.arange(200).astype(str), True)
    bins = reliability_bins(answers)
    assert bins["count"].sum() == 200
    for i, row in bins.iterrows():
        inside = (score >= i / 10) & (score < (i + 1) / 10)  # type: ignore[operator]
        assert row["said"] == pytest.approx(score[inside].mean())
        assert row["true"] == pytest.approx(truth[inside].mean())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs on six cases, of which two hold no lesion."""
    made = make_study(tmp_path_factory.mktemp("study"), cases=6, training=4)
    for run, false in zip(made, (40, 0), strict=True):
        table = pd.read_csv(run / "metrics.csv")
        empty = table["case"].isin(["case00", "case03"])
        table.loc[empty, "reference_voxels"] = 0
        table.loc[table["case"] == "case00", "prediction_voxels"] = false
        table.loc[table["case"] == "case03", "prediction_voxels"] = 0
        table.loc[table["case"] == "case05", "prediction_voxels"] = 0
        table.to_csv(run / "metrics.csv", index=False)
    return made


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    folder = tmp_path / "lesion-net" / "evaluation"
    folder.mkdir(parents=True)
    probability = [0.9, 0.8, 0.2, 0.4, 0.7, 0.1]
    pd.DataFrame(
        {
            "case": [f"case{i:02d}" for i in range(6)],
            "group": [f"p{i}" for i in range(6)],
            "label": ["no", "lesion", "lesion", "no", "lesion", "no"],
            "class": ["lesion" if p > 0.5 else "no" for p in probability],
            "probability: no": [1 - p for p in probability],
            "probability: lesion": probability,
        }
    ).to_csv(folder / "predictions.csv", index=False)
    return folder.parent


def _section(page: Path) -> str:
    found = re.search(r'<section id="images">(.*?)</section>', page.read_text(), re.DOTALL)
    return found[1] if found else ""


def _cells(section: str, method: str) -> list[str]:
    row = re.search(rf"</span>{method}</th>(.*?)</tr>", section, re.DOTALL)
    assert row
    return re.findall(r"<td>(.*?)</td>", row[1])


def test_the_report_says_who_finds_what_in_which_image(
    runs: tuple[Path, Path], classifier: Path, tmp_path: Path
) -> None:
    made = compare(runs, tmp_path / "out", images=False, classifiers=[classifier])
    section = _section(made.report)
    assert _cells(section, "supervised")[:4] == ["3 of 4", "1 of 2", "1", "1"]
    assert _cells(section, "backsplit")[:4] == ["3 of 4", "0 of 2", "1", "2"]
    found = _cells(section, "lesion-net")
    assert found[:4] == ["2 of 3", "1 of 3", "1", "2"]
    truth, score = [0, 1, 1, 0, 1, 0], [0.9, 0.8, 0.2, 0.4, 0.7, 0.1]
    assert found[4].startswith(f"{roc_auc_score(truth, score):.3f}"[1:])
    assert section.count('class="plot"') == 2  # ROC, and reliability of the classifier alone
    assert "Reliability, lesion: lesion-net." in section


def test_without_images_that_lack_the_class_there_is_no_section(tmp_path: Path) -> None:
    made = compare(make_study(tmp_path, cases=3, training=4), tmp_path / "out", images=False)
    assert _section(made.report) == ""


def test_what_is_not_evaluated_is_refused(
    runs: tuple[Path, Path], classifier: Path, tmp_path: Path
) -> None:
    with pytest.raises(HinterlandError, match="classify evaluate"):
        compare(runs, tmp_path / "out", images=False, classifiers=[tmp_path])
    file = classifier / "evaluation" / "predictions.csv"
    pd.read_csv(file).drop(columns="label").to_csv(file, index=False)
    with pytest.raises(HinterlandError, match="no columns `label`"):
        answers_of_classifier(classifier)
