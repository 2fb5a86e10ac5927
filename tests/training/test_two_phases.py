"""Methods of two phases: the weights that the second begins with, and kills around the boundary."""

from __future__ import annotations

import pytest
import torch
from test_resume import Stopped, assert_equal_runs, stop_at
from training_helpers import quick

from hinterland.methods import make_method
from hinterland.training.checkpoint import load_checkpoint
from hinterland.training.loop import segmentation, trainer
from hinterland.training.runs.run_training import resume, train

SETTINGS = {"batch_size": 2, "patch_size": (16, 16, 16), "validation": {"interval": 2}}
STEPS = 8  # two intervals in each phase


def start(phantoms, plan, out, fold="fixed", **changes):
    method = make_method("cvbm", phantoms.labels, options={"pretrain": 0.5})
    config = quick(steps=STEPS, **SETTINGS)
    return train(
        phantoms, plan, method, out=out, fold=fold, labelled="2:cases", config=config, finish=False,
        **changes,
    )  # fmt: skip


def weights(content):
    return {k: v.clone() for k, v in content["networks"].items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("fold", ["fixed", 0])
def test_the_second_phase_begins_with_the_best_weights_only_if_they_are_selected_fairly(
    phantoms, plan, tmp_path, monkeypatch, fold
):
    """With a fold number the cases validated on are reported: nothing is selected on them."""
    scores = iter((0.9, 0.1, 0.2, 0.3))  # the first interval of pre-training is its best
    monkeypatch.setattr(
        segmentation, "mean_score", lambda found: (next(scores), {}) if found else (0, {})
    )
    monkeypatch.setattr(
        segmentation.SegmentationTrainer, "_validate", lambda *_: ({"case": {"lesion": 0.0}}, {})
    )
    saved, begun = {}, {}
    save, engine = trainer.save_checkpoint, trainer.Engine

    def keep(path, content):
        saved[path.stem, content["phase"], content["step"]] = weights(content)
        save(path, content)

    def begin(method, networks, *args, index, **options):
        begun[index] = weights({"networks": networks.state_dict()})
        return engine(method, networks, *args, index=index, **options)

    monkeypatch.setattr(trainer, "save_checkpoint", keep)
    monkeypatch.setattr(trainer, "Engine", begin)
    run = start(phantoms, plan, tmp_path / "run", fold)
    best, last = saved["best", 0, 2], saved["last", 0, 4]
    assert ("best", 0, 4) not in saved
    assert not equal(best, last)
    assert run.record.selection == ("val" if fold == "fixed" else "none")
    assert equal(begun[1], best if fold == "fixed" else last)
    assert not equal(begun[1], last if fold == "fixed" else best)


@pytest.mark.parametrize(
    ("shares", "steps", "expected"),
    [([0.25, 0.75], 8, [2, 6]), ([0.0001, 1], 4, [1, 3]), ([1, 0.0001], 4, [3, 1]),
     ([0.3, 0.3, 0.4], 2, [1, 1, 1]), ([1], 5, [5])],
)  # fmt: skip
def test_steps_of_phases(shares, steps, expected):
    assert trainer.phase_steps(shares, steps) == expected


def test_each_phase_has_a_best_of_its_own(phantoms, plan, tmp_path, monkeypatch):
    """Pre-training may score higher: its weights are not the method's."""
    falling = {2: 0.3, 4: 0.9, 6: 0.2, 8: 0.1}
    monkeypatch.setattr(
        segmentation.SegmentationTrainer, "_validate",
        lambda _, e: ({"case": {"lesion": falling[e.offset + e.step]}}, {}),
    )  # fmt: skip
    run = start(phantoms, plan, tmp_path / "run")
    best = load_checkpoint(run.path / "checkpoints" / "best.ckpt")
    assert (best["phase"], best["step"], best["best"]) == (1, 2, [0.2, 6])


SCORES = {2: 0.1, 4: 0.2, 6: 0.05, 8: 0.3}  # by step: each phase's last interval is its best


def scored(trainer, engine):
    return {"case": {"lesion": SCORES[engine.offset + engine.step]}}, {}


@pytest.fixture(scope="module")
def whole(phantoms, plan, cache, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HINTERLAND_CACHE", str(cache))
        patch.setattr(segmentation.SegmentationTrainer, "_validate", scored)
        return start(phantoms, plan, tmp_path_factory.mktemp("two-phases") / "whole").path


def assert_same_end(one, other):
    assert_equal_runs(one, other)
    best = [load_checkpoint(run / "checkpoints" / "best.ckpt") for run in (one, other)]
    assert equal(weights(best[0]), weights(best[1]))
    assert [(b["phase"], b["step"]) for b in best] == [(1, 4)] * 2


@pytest.mark.parametrize("step", [3, 4, 7])
def test_stopped_within_a_phase_or_at_the_boundary(
    phantoms, plan, tmp_path, monkeypatch, whole, step
):
    monkeypatch.setattr(segmentation.SegmentationTrainer, "_validate", scored)
    with pytest.raises(Stopped):
        start(phantoms, plan, tmp_path / "cut", report=stop_at(step))
    resume(tmp_path / "cut", finish=False)
    assert_same_end(whole, tmp_path / "cut")


@pytest.mark.parametrize("kept", [1, 3, 4, 5])
def test_killed_between_two_checkpoints(phantoms, plan, tmp_path, monkeypatch, whole, kept):
    """last.ckpt and best.ckpt are two files; a kill between them must not get them out of step."""
    save, written = trainer.save_checkpoint, []

    def killed(path, content):
        if len(written) == kept:
            raise Stopped
        written.append(path.name)
        save(path, content)

    monkeypatch.setattr(segmentation.SegmentationTrainer, "_validate", scored)
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "save_checkpoint", killed)
        with pytest.raises(Stopped):
            start(phantoms, plan, tmp_path / "cut")
    resume(tmp_path / "cut", finish=False)
    assert_same_end(whole, tmp_path / "cut")
