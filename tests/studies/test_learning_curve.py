"""AUROC against the share of labels: nested patients, intervals, a study that resumes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hinterland.classification.evaluation.evaluate import evaluate_classifier
from hinterland.data.dataset.read import read_dataset
from hinterland.phantoms.anatomy import PhantomParameters
from hinterland.phantoms.dataset import make_phantoms
from hinterland.studies.learning_curve import scores, study
from hinterland.studies.learning_curve.scores import auroc_draws, curve, differences
from hinterland.studies.learning_curve.study import LearningCurve, run_learning_curve
from hinterland.studies.learning_curve.subsets import nested_subsets
from hinterland.types import HinterlandError

ANSWERS = {f"p{i:02}": int(i % 5 == 0) for i in range(40)}


@pytest.mark.parametrize("seed", range(5))
def test_subsets_are_nested_and_hold_every_answer(seed):
    found = nested_subsets(ANSWERS, (5, 10, 25, 50, 100), seed)
    assert [len(v) for v in found.values()] == [2, 4, 10, 20, 40]
    for smaller, larger in zip([*found.values()], [*found.values()][1:], strict=False):
        assert set(smaller) < set(larger)
    positives = [sum(ANSWERS[n] for n in names) for names in found.values()]
    assert positives[0] == 1  # of two patients one of each answer
    assert abs(positives[2] - 2) <= 1  # a fifth of all are positive
    assert abs(positives[3] - 4) <= 1
    assert positives[4] == 8


def test_seeds_draw_other_patients_and_shares_differ():
    one, two = (nested_subsets(ANSWERS, (10, 100), seed)[10] for seed in (0, 1))
    assert set(one) != set(two)
    assert nested_subsets(ANSWERS, (10, 100), 0)[10] == one
    with pytest.raises(HinterlandError, match="too few for these shares"):
        nested_subsets(ANSWERS, (1, 2, 100), 0)
    with pytest.raises(HinterlandError, match="above 0 up to 100"):
        nested_subsets(ANSWERS, (0, 100), 0)


def test_intervals_hold_over_patients_and_runs():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.05, 1001)  # what the patients do to both arms alike
    noise[0] = 0
    runs = [0.8 + noise, 0.9 + noise]
    base = [0.7 + noise, 0.8 + noise]
    draws = {("rule", 10.0): runs, ("small", 10.0): base}
    row = curve(draws, patients=50)[0]
    assert row["auroc"] == pytest.approx(0.85)
    assert row["sd"] == pytest.approx(np.std([0.8, 0.9], ddof=1))
    one = curve({("rule", 10.0): runs[:1]}, 50)[0]
    assert row["high"] - row["low"] > one["high"] - one["low"]  # runs differ, too
    gain = differences(draws, "small", 50)
    assert len(gain) == 1
    assert [gain[0][k] for k in ("difference", "low", "high")] == pytest.approx([0.1] * 3)


def test_the_mean_over_findings_leaves_out_what_is_unknown(tmp_path):
    table = pd.DataFrame(
        {
            "case": list("abcd"), "group": list("abcd"), "class": "none", "label": "none",
            "score: x": [0.9, 0.8, 0.1, 0.2], "score: y": [0.1, 0.9, 0.9, 0.3],
            "called: x": 0, "called: y": 0,
            "label: x": [1, 1, 0, 0], "label: y": [0, 1, None, 1],
        }
    )  # fmt: skip
    table.to_csv(tmp_path / "predictions.csv", index=False)
    (tmp_path / "summary.json").write_text(json.dumps({"unit": "case", "task": "x,y"}))
    areas, patients = auroc_draws(tmp_path)
    assert patients == 4
    assert areas[0] == 1.0
    assert len(areas) == scores.RESAMPLES + 1


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    patch = pytest.MonkeyPatch()
    patch.setenv("HINTERLAND_CACHE", str(tmp_path_factory.mktemp("cache")))
    root = make_phantoms(
        tmp_path_factory.mktemp("data") / "phantoms", (16, 8, 10), dims=2, size=32,
        parameters=PhantomParameters(lesions=(0, 1), radius=(0.1, 0.12)),
    )  # fmt: skip
    yield root
    patch.undo()


FAST = {"precision": "fp32", "batch_size": 4, "validation": {"interval": 2}}
ASKED = LearningCurve(
    "lesion", (25, 100), ("rule", "boosted", "small"), seeds=1, steps=2, canvas=(32, 32),
    settings={**FAST, "network_options": {"features": [4, 8]}, "patch_size": [32, 32]},
    classifier=FAST, dims=2, memory=0.5,
)  # fmt: skip


@pytest.mark.slow
def test_a_study_on_phantoms_goes_on_where_it_was(phantoms, tmp_path, monkeypatch):
    out, dataset = tmp_path / "curve", read_dataset(phantoms)
    judged = []

    def stops(run, folder, **options):
        judged.append(run.path.name)
        if len(judged) == 3:
            raise KeyboardInterrupt
        return evaluate_classifier(run, folder, **options)

    monkeypatch.setattr(study, "evaluate_classifier", stops)
    with pytest.raises(KeyboardInterrupt):
        run_learning_curve(dataset, ASKED, out)
    before = (out / "runs" / "rule-25-seed0" / "operating.json").stat().st_mtime_ns
    found = run_learning_curve(dataset, ASKED, out)
    assert judged[3:] == [judged[2], "rule-100-seed0", "small-100-seed0"]
    assert (out / "runs" / "rule-25-seed0" / "operating.json").stat().st_mtime_ns == before
    points = {(r["arm"], r["share"]): r for r in found["curve"]}
    # nothing is left to be labelled at 100 %
    assert set(points) == {("rule", 25.0), ("boosted", 25.0), ("small", 25.0),
                           ("rule", 100.0), ("small", 100.0)}  # fmt: skip
    table = pd.read_csv(out / "table.csv").set_index(["arm", "share"])
    assert table.loc[("rule", 25), "patients"] == table.loc[("small", 25), "patients"] == 4
    for key, row in points.items():
        evaluated = json.loads(Path(table.loc[key, "run"], "evaluation/summary.json").read_text())
        area = next(m["value"] for m in evaluated["metrics"] if m["metric"] == "auroc")
        assert row["auroc"] == pytest.approx(area)
        recall = next(m["value"] for m in evaluated["metrics"] if m["metric"] == "recall")
        assert table.loc[key, "recall"] == pytest.approx(recall, abs=1e-5)
        assert row["low"] <= row["auroc"] <= row["high"]
    few, whole = ((out / "data" / f"{s}-seed0.txt").read_text().split() for s in (25, 100))
    assert whole[:4] == few
    assert {r["arm"] for r in found["differences"]} == {"rule", "boosted"}
    assert (out / "figure.png").stat().st_size > 5000
    assert len(pd.read_csv(out / "curve.csv")) == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": ("rule", "resnet")}, "expected some of rule, semi, boosted"),
        ({"arms": ()}, "none: expected"),
    ],
)
def test_what_cannot_be_studied_is_refused_at_once(tmp_path, changes, message):

    dataset = SimpleNamespace(root=tmp_path, of=lambda part: ("case",))
    with pytest.raises(HinterlandError, match=message):
        run_learning_curve(dataset, replace(ASKED, **changes), tmp_path / "out")
    without = SimpleNamespace(root=tmp_path, of=lambda part: ())
    with pytest.raises(HinterlandError, match="no val and no test cases"):
        run_learning_curve(without, ASKED, tmp_path / "out")
    assert not (tmp_path / "out").exists()
