"""Runs of the version before (commit 5cc1acd) are still read, predicted with, compared, resumed.

`run_of_version_0_1` holds a finished run and one that was stopped after half its steps, both of the
same request; `DATASET` and the fingerprint are filled in here.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

import hinterland as hl
from hinterland.data.planning.plan_dataset import data_fingerprint
from hinterland.labels import LabelSpec
from hinterland.methods import BuildContext, make_method
from hinterland.methods.regularisers.registry import build_regularisers
from hinterland.training.checkpoint import load_checkpoint
from hinterland.types import Plan

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
    # its table is of the most probable cells, which were merged for a coarser question at the time
    out = run.predict(dataset.test, tmp_path / "predictions", at=run.method.cells)
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


WEIGHTS = {
    "supervised": "e29b9e18d07362e3", "backsplit": "6a6876db30d3c60c",
    "cvbm": "04aefef949247c13", "pseudo-label": "54ee5e802a18d7f9",
    "mean-teacher": "54ee5e802a18d7f9", "ua-mt": "54ee5e802a18d7f9", "bcp": "54ee5e802a18d7f9",
    "cps": "b09ffc7e2d7a9803", "mc-net": "93e033dafac3b6ff", "urpc": "d1788f618e7fff5b",
    "dtc": "4b31766d2272e46d", "sassnet": "744abb9072d0ab73", "ss-net": "89b8b106d8a53bb8",
    "subclass": "f9c58a10ba8a8ed5", "two-head": "dfbe8be9979b9700",
    "negative-learning": "31ac6cec665fbb9e", "+discrepancy": "437d0bb821eb1a60",
    "+contrastive": "7f5fe85d88664d4a", "+deep-supervision": "2b27e3cd8229a7dd",
}  # fmt: skip
"""Method, or + regulariser -> a hash of the names and shapes of its weights in that version."""


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_keep_the_names_and_shapes_that_checkpoints_know_them_by(name):
    spec = LabelSpec.load(KEPT / "finished" / "labels.yaml")
    context = BuildContext(
        plan=Plan.from_json((KEPT / "finished" / "plan.json").read_text()),
        spec=spec,
        label_sets=spec.label_sets,
        network_options={"features": (4, 8)},
    )
    if name.startswith("+"):
        method = make_method("supervised", spec)
        built = build_regularisers({name[1:]: {}}, context, method)
    else:
        built = make_method(name, spec).build(context)
    weights = sorted([key, list(value.shape)] for key, value in built.state_dict().items())
    found = hashlib.blake2b(json.dumps(weights).encode(), digest_size=8).hexdigest()
    assert found == WEIGHTS[name], weights
