"""Finished runs into one student: a run like any other, and what it is not made of."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

import hinterland as hl
from hinterland.training.checkpoint import load_checkpoint
from hinterland.training.runs.beside_teachers import _mean
from hinterland.training.runs.distil import distil_request
from hinterland.training.runs.run import Run
from hinterland.training.runs.run_training import run_or_resume
from hinterland.types import Dataset, HinterlandError, Plan

pytestmark = pytest.mark.slow
SMALL = {
    "steps": 2, "batch_size": 2, "precision": "fp32", "network_options": {"features": [4, 8]},
    "validation": {"interval": 2, "mirror": False}, "data": {"augmentation": "flips"},
    "logger": "none",
}  # fmt: skip
STUDENT = {**SMALL, "steps": 4, "network_options": {"features": [2, 4]}}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("distil") / "phantoms"
    return hl.read_dataset(hl.make_phantoms(folder, (5, 2, 2), dims=2, size=32))


@pytest.fixture(scope="module")
def planned(data: Dataset, cache: Path) -> Plan:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HINTERLAND_CACHE", str(cache))
        return hl.plan(data)


@pytest.fixture(scope="module")
def teachers(data, planned, cache, tmp_path_factory) -> dict[str, Run]:
    """Leaves and target of one split, the target of few labels, and folds 0 and 1."""
    folder = tmp_path_factory.mktemp("teachers")
    arms = {
        "leaves": (data.labels.tree.leaves, {"fold": "fixed"}),
        "target": (data.labels.target, {"fold": "fixed"}),
        "few": (data.labels.target, {"fold": "fixed", "labelled": "3:cases"}),
        "fold0": (data.labels.target, {"fold": 0}),
        "fold1": (data.labels.target, {"fold": 1}),
    }
    return {
        name: hl.train(data, planned, hl.methods.Supervised(on=on), out=folder / name,
                       config=hl.make_config(SMALL), **asked)
        for name, (on, asked) in arms.items()
    }  # fmt: skip


class Stop(Exception):
    pass


def test_teachers_of_several_questions_make_a_run_like_any_other(teachers, data, tmp_path):
    both = teachers["leaves"], teachers["target"]
    run = hl.distil(*both, out=tmp_path / "student", config=hl.make_config(STUDENT))
    record = run.record
    assert (record.method, record.fold) == ("distillation", "fixed")
    assert [Path(t["run"]).name for t in record.teachers] == ["leaves", "target"]
    assert record.seen_by_teachers == {}
    assert run.method.cells == data.labels.tree.leaves
    content = load_checkpoint(run.path / "checkpoints" / "last.ckpt")["networks"]
    assert all(name.startswith("network.") for name in content), "no weights of teachers"

    beside = run.summary["beside_teachers"]
    assert [m["name"] for m in beside["models"]] == [
        "leaves", "target", "teachers' mean", "student"
    ]  # fmt: skip
    weights = {m["name"]: m["parameters"] for m in beside["models"]}
    assert weights["student"] == run.summary["parameters"]
    assert weights["teachers' mean"] == weights["leaves"] + weights["target"]
    assert all(m["seconds_per_case"] > 0 for m in beside["models"])
    assert {s: f["cases"] for s, f in beside["splits"].items()} == {"val": 2, "test": 2}
    dice = beside["splits"]["test"]["dice"]
    assert set(dice["target/lesion"]) == {"leaves", "target", "teachers' mean", "student"}
    coarse = [k for k in dice if k.startswith("cells/")]
    assert coarse
    assert all("target" not in dice[k] for k in coarse), "a binary teacher knows no organs"

    # the same figures as the runs' own, which predicted the same test cases
    reported = run.summary["metrics"]["target/lesion"]["dice"]
    assert dice["target/lesion"]["student"] == pytest.approx(reported, abs=1e-4)
    own = teachers["target"].summary["metrics"]["target/lesion"]["dice"]
    assert dice["target/lesion"]["target"] == pytest.approx(own, abs=1e-4)
    rows = pd.read_csv(run.path / "beside_teachers.csv")
    rows = rows[(rows.split == "test") & (rows.coarsening == "target")]
    table = rows.pivot_table("dice", "case", "method")
    (found,) = [
        d for d in beside["splits"]["test"]["differences"]
        if (d["to"], d["question"]) == ("leaves", "target")
    ]  # fmt: skip
    assert found["mean"] == pytest.approx((table["student"] - table["leaves"]).mean(), abs=1e-4)
    assert found["cases"] == 2


def test_the_teachers_mean_is_the_mean_of_probabilities(teachers, data, tmp_path):
    """Of the groups that are asked for: a teacher of organs and a binary one, of the lesion."""
    pair = [teachers["leaves"].predictor(), teachers["target"].predictor()]
    target = data.labels.target
    image = torch.randn(1, 1, *teachers["leaves"].record.plan.patch_size)
    with torch.no_grad():
        mean = _mean(pair, target)(image)
        leaves, binary = (p.model(image) for p in pair)
    lesion = sorted(target.groups[1])
    expected = (leaves[:, lesion].sum(dim=1) + binary[:, 1]) / 2
    torch.testing.assert_close(mean[:, 1], expected)


def test_resumed_equals_uninterrupted_and_a_moved_or_changed_teacher_is_told(teachers, tmp_path):
    copies = {n: tmp_path / n for n in ("leaves", "target")}
    for name, place in copies.items():
        shutil.copytree(teachers[name].path, place)
    config = hl.make_config(STUDENT)
    whole = hl.distil(*copies.values(), out=tmp_path / "whole", config=config, finish=False)

    def stop(done: int, *_: object) -> None:
        if done == 3:  # a step after the first checkpoint
            raise Stop

    with pytest.raises(Stop):
        hl.distil(*copies.values(), out=tmp_path / "cut", config=config, finish=False, report=stop)
    hidden = tmp_path / "hidden"
    copies["target"].rename(hidden)
    with pytest.raises(HinterlandError, match=r"target of this run is gone\. Put"):
        hl.resume(tmp_path / "cut")
    assert Run(tmp_path / "cut").networks("last") is not None, "to predict, no teacher is needed"
    hidden.rename(copies["target"])
    cut = hl.resume(tmp_path / "cut", finish=False)
    for one, other in zip(
        whole.networks("last").parameters(), cut.networks("last").parameters(), strict=True
    ):
        assert torch.equal(one, other)
    asked = {"out": cut.path, "config": config, "existing": "resume", "finish": False}
    assert hl.distil(*copies.values(), **asked).path == cut.path
    with pytest.raises(HinterlandError, match=r"another request \(teachers"):
        hl.distil(copies["leaves"], **asked)

    checkpoint = copies["target"] / "checkpoints" / f"{teachers['target'].reported}.ckpt"
    checkpoint.write_bytes((copies["leaves"] / "checkpoints" / checkpoint.name).read_bytes())
    with pytest.raises(HinterlandError, match="target are not those that this run began with"):
        hl.resume(tmp_path / "cut")


def test_unlabelled_cases_are_used_where_the_first_teacher_had_some(teachers, data):
    request = distil_request([teachers["few"].path])
    assert request.labelled == "3:cases"
    method = request.make_method()
    assert method.labelled_share == 0.5
    assert [q.where for q in method.phases()[0].quotas] == [{"labelled": True}, {"labelled": False}]
    assert distil_request([teachers["target"].path]).make_method().labelled_share == 1
    every = distil_request([teachers["few"].path], labelled="100%")
    assert every.make_method().labelled_share == 1


def test_defaults_follow_the_first_teacher(teachers, data):
    request = distil_request([teachers["leaves"].path, teachers["few"].path])
    config = request.make_config()
    assert (config.seed, config.network) == (0, "unet")
    assert config.network_options["features"] == [2, 4]
    assert request.on == (data.labels.tree.leaves,)
    chosen = hl.make_config({"network_options": {"features": [3, 6]}, "seed": 5})
    config = distil_request([teachers["leaves"].path], config=chosen).make_config()
    assert (config.seed, config.network_options["features"]) == (5, [3, 6])


def test_folds_teach_a_student_of_all_cases_or_say_what_they_know(teachers, tmp_path, caplog):
    folds = teachers["fold0"], teachers["fold1"]
    assert distil_request([t.path for t in folds]).fold == "all"
    with caplog.at_level(logging.WARNING):
        run = hl.distil(*folds, out=tmp_path / "one", fold=0, config=hl.make_config(STUDENT))
    held = run.record.split["val"]
    assert run.record.seen_by_teachers == {str(folds[1].path.resolve()): held}
    assert "too good" in caplog.text
    beside = run.summary["beside_teachers"]["splits"]
    assert f"{len(held)} of the {len(held)} validation cases" in beside["val"]["warning"]
    assert "warning" not in beside["test"], "nobody knows the test cases"
    with pytest.raises(HinterlandError, match="also among the training cases of its teachers"):
        hl.compare(folds[0], run)


def altered(run: Run, out: Path, **changes: object) -> Path:
    """A copy of a run whose plan.json or config.yaml says something else."""
    shutil.copytree(run.path, out)
    if "split" in changes:
        config = yaml.safe_load((out / "config.yaml").read_text())
        config["split"] |= changes.pop("split")
        (out / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    plan = json.loads((out / "plan.json").read_text()) | changes
    (out / "plan.json").write_text(json.dumps(plan))
    return out


def test_what_cannot_teach_is_refused_before_anything_is_written(teachers, data, tmp_path):
    first, out = teachers["leaves"], tmp_path / "student"
    config = hl.make_config(STUDENT)
    split = first.record.split
    plan = first.record.plan
    known = split["test"][0]
    wrong = {
        "channels": (
            {"channels": ["CT"]},
            r"its channels is \(CT\), the student's \(" + plan.channels[0],
        ),
        "spacing": ({"spacing": [None, 2.0, 2.0]}, r"its spacing is \(None, 2.0, 2.0\)"),
        "test": (
            {"split": {"test": [known]}},
            "its test split has 1 cases, the student's 2, and only 1 are the same",
        ),
        "leak": (
            {"split": {"train": [*split["train"], known]}},
            f"trained on patients of the test cases {known}",
        ),
    }
    for name, (changes, words) in wrong.items():
        other = altered(first, tmp_path / name, **changes)
        with pytest.raises(HinterlandError, match=words):
            hl.distil(first, other, out=out, config=config)
    with pytest.raises(HinterlandError, match=r"the student only .*on finer"):
        hl.distil(first, out=out, on=["target"], config=config)
    unfinished = altered(first, tmp_path / "unfinished")
    (unfinished / "summary.json").unlink()
    with pytest.raises(HinterlandError, match="not trained to its end"):
        hl.distil(first, unfinished, out=out, config=config)
    with pytest.raises(HinterlandError, match="named twice"):
        hl.distil(first, first, out=out, config=config)
    with pytest.raises(HinterlandError, match="there is no teacher"):
        hl.distil(out=out, config=config)
    with pytest.raises(HinterlandError, match="no run directory"):
        hl.distil(tmp_path, out=out, config=config)
    with pytest.raises(HinterlandError, match="hinterland distil RUN"):
        hl.train(data, plan, hl.methods.Distillation((data.labels.target,)), out=out)
    request = replace(distil_request([first.path]), method="supervised", options={})
    with pytest.raises(HinterlandError, match="learns from no teachers, and 1 came"):
        run_or_resume(request, out)
    assert not out.exists()
