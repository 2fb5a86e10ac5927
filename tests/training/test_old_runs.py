"""Runs of the version before (commit 5cc1acd) are still read, predicted with, compared, resumed.

`run_of_version_0_1` holds a finished run and one that was stopped after half its steps, both of the
same request; `DATASET` and the fingerprint are filled in here.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

import hinterland as hl
from hinterland.data.planning.plan_dataset import data_fingerprint
from hinterland.training.checkpoint import load_checkpoint

KEPT = Path(__file__).parent / "run_of_version_0_1"
FINGERPRINT = "e3371b1df70d0a84"  # of the same phantoms on the machine that trained


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("old") / "phantoms"
    return hl.read_dataset(hl.make_phantoms(folder, cases=(3, 1, 1), size=24))


@pytest.fixture
def old_runs(dataset, tmp_path):
    runs = shutil.copytree(KEPT, tmp_path / "runs")
    for file in (*runs.rglob("config.yaml"), *runs.rglob("plan.json")):
        text = file.read_text(encoding="utf-8").replace("DATASET", str(dataset.root.resolve()))
        file.write_text(text.replace(FINGERPRINT, data_fingerprint(dataset)), encoding="utf-8")
    for run, there, missing in (("finished", "best", "last"), ("stopped", "last", "best")):
        checkpoints = runs / run / "checkpoints"
        shutil.copy(checkpoints / f"{there}.ckpt", checkpoints / f"{missing}.ckpt")
    return runs


def test_the_old_name_of_a_setting_is_read(old_runs):
    assert "bag_weight: 0.5" in (old_runs / "stopped" / "config.yaml").read_text()
    assert hl.Run(old_runs / "stopped").record.train.image_label_weight == 0.5
    assert hl.make_config({"bag_weight": 0.25}) == hl.make_config({"image_label_weight": 0.25})


def test_a_stopped_run_ends_as_it_ended_then(old_runs):
    run = hl.resume(old_runs / "stopped")
    found, expected = (load_checkpoint(old_runs / r / "checkpoints" / "last.ckpt")["networks"]
                       for r in ("stopped", "finished"))  # fmt: skip
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-5)
    assert run.finished


def test_a_finished_run_predicts_and_is_compared(dataset, old_runs, tmp_path):
    run = hl.Run(old_runs / "finished")
    out = run.predict(dataset.test, tmp_path / "predictions")
    table = hl.evaluate(out, dataset.test, at=run.record.spec.questions, labels=run.record.spec)
    known = pd.read_csv(old_runs / "finished" / "metrics.csv")
    for question in run.record.spec.questions:
        new, old = (t[t["coarsening"] == question] for t in (table, known))
        assert new["dice"].tolist() == pytest.approx(old["dice"].tolist(), abs=1e-3)
    shutil.copytree(old_runs / "finished", old_runs / "again")
    made = hl.compare(old_runs / "finished", old_runs / "again")
    assert {r.difference for r in made.results if not r.baseline} == {0.0}


def test_a_run_that_cannot_be_read_is_one_message(old_runs):
    config = old_runs / "finished" / "config.yaml"
    config.write_text(config.read_text().replace("fold: fixed", "fold: fixed\nmagic: 1"))
    with pytest.raises(hl.HinterlandError, match=r"another version.*magic"):
        _ = hl.Run(old_runs / "finished").record
