"""Patches that grow: the sizes that a method sees, wherever batches are made; after a stop, too."""

from __future__ import annotations

import pytest
from test_resume import Stopped, assert_equal_runs, stop_at
from training_helpers import quick

from hinterland.data.sampling.growth import growing_sizes, stage_at
from hinterland.methods import Supervised, make_method
from hinterland.networks import patch_multiple
from hinterland.training.loop import loader as loading
from hinterland.training.optimisation.pace import DeadlinePace, StepPace
from hinterland.training.runs.run_training import resume, train

STEPS = 10
PATCH = (16, 32, 32)


def growing(**data):
    return quick(
        steps=STEPS, patch_size=PATCH, data={"growing": True, **data}, validation={"interval": 5}
    )


@pytest.fixture
def seen(monkeypatch):
    """The spatial sizes of all batches that a supervised method is trained on."""
    sizes, losses = [], Supervised.losses

    def noted(self, networks, batch, progress):
        assert batch.annotation.shape[1:] == batch.image.shape[2:]
        sizes.append(tuple(batch.image.shape[2:]))
        return losses(self, networks, batch, progress)

    monkeypatch.setattr(Supervised, "losses", noted)
    return sizes


@pytest.mark.parametrize(("device", "spare"), [("cpu", 0.0), ("accelerator", float("inf")),
                                               ("accelerator", 0.0)])  # fmt: skip
def test_sizes_grow_to_the_whole_patch(
    phantoms, plan, tmp_path, monkeypatch, seen, device, spare
):  # fmt: skip
    monkeypatch.setattr(loading, "bytes_to_spare", lambda *_: spare)
    method = make_method("backsplit", phantoms.labels)
    run = train(
        phantoms, plan, method, out=tmp_path / "run", fold="fixed", config=growing(device=device),
        finish=False,
    )  # fmt: skip
    sizes = growing_sizes(run.record.plan.patch_size, patch_multiple("unet", run.record.plan))
    assert len(set(sizes)) == 3
    assert seen == [sizes[stage_at(step / STEPS)] for step in range(STEPS)]
    assert seen[-1] == run.record.plan.patch_size == PATCH


def test_stopped_in_the_middle_stage_and_resumed_equals_uninterrupted(phantoms, plan, tmp_path):
    method = make_method("backsplit", phantoms.labels)
    rest = {"fold": "fixed", "config": growing(), "finish": False}
    train(phantoms, plan, method, out=tmp_path / "whole", **rest)
    with pytest.raises(Stopped):
        train(phantoms, plan, method, out=tmp_path / "cut", report=stop_at(6), **rest)
    resume(tmp_path / "cut", finish=False)
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut")


def test_each_phase_grows_anew(phantoms, plan, tmp_path, seen):
    method = make_method("backsplit", phantoms.labels, (), {"warm_start": 0.5})
    train(phantoms, plan, method, out=tmp_path / "run", fold="fixed", config=growing(),
          finish=False)  # fmt: skip
    assert seen[:5] == seen[5:]
    assert seen[0] != seen[4] == PATCH


def test_a_share_of_a_phase_is_of_its_steps_or_of_its_time():
    assert [StepPace(10, 5).share_done(step) for step in (0, 4, 10)] == [0.0, 0.4, 1.0]
    clock = iter([0.0, 25.0, 50.0])
    pace = DeadlinePace(100.0, now=lambda: next(clock))
    assert (pace.share_done(3), pace.share_done(4)) == (0.25, 0.5)
