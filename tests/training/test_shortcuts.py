"""What mirroring and fast prediction change is measured on validation cases, and decides `auto`."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from hinterland.export.model_card import model_card
from hinterland.inference.coarse_to_fine import Search
from hinterland.methods import Supervised
from hinterland.training.config import make_config, shortcut_cases
from hinterland.training.loop.segmentation import SegmentationTrainer
from hinterland.training.runs import shortcuts
from hinterland.training.runs.outcome import finish_run
from hinterland.training.runs.run import Run
from hinterland.training.runs.run_training import resume, train
from hinterland.training.runs.shortcuts import measure_shortcuts, note_shortcuts, sentence
from hinterland.training.validation.validate import validate
from hinterland.types import HinterlandError

TINY = {
    "steps": 2, "patch_size": (16, 16, 16), "batch_size": 2,
    "network_options": {"features": (4, 8)}, "validation": {"shortcuts": 5, "mirror": True},
}  # fmt: skip


@pytest.fixture(scope="module")
def run(phantoms, plan, tmp_path_factory):
    method = Supervised(on=phantoms.labels.tree.leaves)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HINTERLAND_CACHE", str(tmp_path_factory.mktemp("cache")))
        return train(phantoms, plan, method, out=tmp_path_factory.mktemp("runs") / "run",
                     fold="fixed", config=make_config(TINY))  # fmt: skip


def test_figures_are_in_the_summary_and_are_those_of_validation(run, phantoms):
    found = run.summary["prediction"]
    assert found["cases"] == 2  # all that there are
    assert found["at"] == str(run.record.spec.target)
    assert set(found) == {
        "at", "cases", "plain", "mirrored", "fast", "mirroring", "fast_for_full"
    }  # fmt: skip
    from hinterland.data.preprocessing.cache import prepare

    cases = run.record.cases(phantoms, "val")
    prepared = prepare(phantoms, run.record.plan, cases=cases)
    arms = {
        "plain": run.predictor(mirror=False),
        "mirrored": run.predictor(mirror=True),
        "fast": run.predictor(mirror=True, fast=True),
    }
    means = {}
    for name, predictor in arms.items():
        scores, _ = validate(predictor, cases, prepared, run.record.spec,
                             run.record.spec.label_sets, run.record.spec.target)  # fmt: skip
        groups = {g for case in scores.values() for g in case}
        for group in groups:
            expected = np.mean([case[group] for case in scores.values()])
            assert found[name]["dice"][group] == pytest.approx(expected, abs=1e-5)
        means[name] = np.array([np.mean(list(case.values())) for case in scores.values()])
        assert found[name]["seconds"] > 0
    for change, after, before in (
        ("mirroring", "mirrored", "plain"), ("fast_for_full", "fast", "mirrored")
    ):  # fmt: skip
        gains = means[after] - means[before]
        assert found[change]["difference"] == pytest.approx(gains.mean(), abs=1e-5)
        error = gains.std(ddof=1) / np.sqrt(len(gains))
        assert found[change]["error"] == pytest.approx(error, abs=1e-5)
        assert found[change]["pays"] == bool(gains.mean() > error)


def answers(*means, seconds=1.0):
    return [shortcuts._Answer(seconds, {"organ": m}) for m in means]


@pytest.mark.parametrize(
    ("before", "after", "pays"),
    [
        ((0.5, 0.5, 0.5), (0.6, 0.6, 0.6), True),  # the same gain in each: no error
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), False),
        ((0.5, 0.5), (0.9, 0.2), False),  # gains .4 and -.3: mean .05, error .35
        ((0.5, 0.6, 0.7), (0.52, 0.64, 0.71), True),  # mean .0233, error .0088
        ((0.5,), (0.4,), True),  # one case says nothing
    ],
)
def test_mirroring_pays_above_its_paired_standard_error(before, after, pays):
    change = shortcuts._change(answers(*before), answers(*after, seconds=4.0))
    assert change["pays"] is pays
    assert change["times"] == 4.0


def test_the_same_case_is_never_measured_without_time(run, phantoms):
    assert measure_shortcuts(run, phantoms, seconds=0.0) is None
    assert measure_shortcuts(run, phantoms, most=1)["cases"] == 1


def test_no_test_case_is_read(run, phantoms, monkeypatch):
    read = []
    original = shortcuts.prepare

    def noted(dataset, plan, cases):
        read.extend(c.name for c in cases)
        return original(dataset, plan, cases=cases)

    monkeypatch.setattr(shortcuts, "prepare", noted)
    measure_shortcuts(run, phantoms)
    assert set(read) == set(run.record.split["val"])
    assert not set(read) & set(run.record.split["test"])


def decided(run, tmp_path, pays):
    """A copy of the run whose mirroring was measured to pay, or not."""
    import shutil

    path = shutil.copytree(run.path, tmp_path / "copy")
    summary = json.loads((path / "summary.json").read_text())
    summary["prediction"]["mirroring"]["pays"] = pays
    (path / "summary.json").write_text(json.dumps(summary))
    return Run(path)


@pytest.mark.parametrize("pays", [True, False])
def test_auto_takes_what_was_measured(run, tmp_path, pays):
    copy = decided(run, tmp_path, pays)
    assert copy.window_options(mirror="auto").mirror == ((0, 1, 2) if pays else ())
    assert copy.window_options().mirror == (0, 1, 2)  # nothing changes unasked


def test_auto_without_a_measurement_is_refused(run, tmp_path):
    copy = decided(run, tmp_path, True)
    summary = {k: v for k, v in copy.summary.items() if k != "prediction"}
    (copy.path / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(HinterlandError, match="hinterland analyse prediction"):
        copy.window_options(mirror="auto")


@pytest.mark.parametrize("pays", [True, False])
def test_a_run_of_mirror_auto_reports_as_it_predicts(run, phantoms, tmp_path, monkeypatch, pays):
    copy = decided(run, tmp_path, pays)
    text = (copy.path / "config.yaml").read_text()
    assert "    mirror: true" in text
    (copy.path / "config.yaml").write_text(text.replace("    mirror: true", "    mirror: auto"))
    used = []
    original = Run.predict

    def noted(self, *args, **kwargs):
        used.append(kwargs["predictor"].options.mirror)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Run, "predict", noted)
    copy = Run(copy.path)
    measured = copy.summary["prediction"]
    finish_run(copy, phantoms, seconds=1.0)
    assert set(used) == {(0, 1, 2) if pays else ()}
    assert copy.summary["prediction"] == measured  # kept, not measured anew
    assert copy.mirrored is pays
    assert copy.window_options().mirror == ((0, 1, 2) if pays else ())


def test_what_is_evaluated_does_not_choose_its_own_mirroring(phantoms, plan, tmp_path, monkeypatch):
    """With a fold number the validation cases are the reported ones: mirroring stays."""
    used = []
    original = Run.predictor

    def noted(self, *args, **kwargs):
        used.append(kwargs.get("mirror"))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Run, "predictor", noted)
    monkeypatch.setattr(
        "hinterland.training.runs.outcome.measure_shortcuts",
        lambda *_, **__: {"at": "", "cases": 2, "mirroring": {
            "pays": False, "difference": 0.0, "error": 0.0, "times": 8.0},
            "fast_for_full": {"difference": 0.0, "error": 0.0, "times": 0.3}},
    )  # fmt: skip
    config = make_config(TINY | {"validation": {"mirror": "auto"}})
    method = Supervised(on=phantoms.labels.target)
    made = train(phantoms, plan, method, out=tmp_path / "run", fold=0, config=config)
    assert used
    assert set(used) == {True}
    assert made.mirrored is False  # new images are no part of that


def test_resume_of_a_finished_run_keeps_the_figures(run, tmp_path):
    copy = decided(run, tmp_path, False)
    before = copy.summary["prediction"]
    assert resume(copy.path).summary["prediction"] == before


def test_short_runs_and_deadlines_measure_nothing_unasked():
    assert shortcut_cases(make_config({})) == 8
    assert shortcut_cases(make_config({"time": 60})) == 0
    assert shortcut_cases(make_config({"time": 60, "validation": {"mirror": "auto"}})) == 8
    assert shortcut_cases(make_config({"time": 60, "validation": {"shortcuts": 3}})) == 3
    assert shortcut_cases(make_config({"validation": {"shortcuts": 0}})) == 0
    with pytest.raises(HinterlandError, match="shortcuts"):
        make_config({"validation": {"shortcuts": -1}})
    with pytest.raises(HinterlandError, match="mirror"):
        make_config({"validation": {"mirror": "sometimes"}})


def test_a_deadline_leaves_time_for_what_is_asked():
    def to_come(**validation):
        record = SimpleNamespace(
            split={"train": ["a"], "val": ["b", "c", "d", "e"], "test": ["f"] * 2},
            fold="fixed", selection="val", plan=SimpleNamespace(dims=2),
        )  # fmt: skip
        config = make_config({"time": 60, "validation": validation})
        context = SimpleNamespace(teachers=())
        trainer = SimpleNamespace(record=record, config=config, context=context)
        return SegmentationTrainer.validations_to_come(trainer)

    assert to_come() == 4 * 1.5 * 2 / 4
    assert to_come(shortcuts=2) == (4 * 1.5 * 2 + 2 * (1 + 4 + 4)) / 4
    assert to_come(shortcuts=9, mirror=False) == (1.5 * 2 + 4 * (1 + 4 + 1)) / 4


def test_a_line_for_people(run):
    made = sentence({
        "cases": 8,
        "mirroring": {"difference": 0.0012, "error": 0.0015, "times": 4.1, "pays": False},
        "fast_for_full": {"difference": -0.002, "error": None, "times": 0.31},
    })  # fmt: skip
    assert made == (
        "predicting 8 validation cases: mirroring changes Dice by +0.0012 (standard error 0.0015) "
        "and takes 4.1 x the time (it does not pay); --fast changes it by -0.0020 and takes 0.31 x"
    )


def test_the_model_card_tells_it(run):
    assert f"- shortcuts: {sentence(run.summary['prediction'])}" in model_card(run)


def test_noting_keeps_the_rest_of_the_summary(run, tmp_path):
    copy = decided(run, tmp_path, True)
    before = copy.summary
    note_shortcuts(copy, {"new": 1})
    assert copy.summary == {**before, "prediction": {"new": 1}}


def test_the_predictor_of_a_run_searches_only_if_asked(run):
    assert run.predictor().search is None
    assert run.predictor(fast=True).search == Search()
    assert replace(run.predictor(fast=True), search=None).options == run.predictor().options
