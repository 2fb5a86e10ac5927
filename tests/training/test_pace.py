"""Training to a deadline, on a clock that the test moves."""

from __future__ import annotations

import pytest
import torch
from training_helpers import quick

from hinterland.methods import make_method
from hinterland.training.checkpoint import load_checkpoint
from hinterland.training.config import OptimiserConfig, make_config
from hinterland.training.loop.segmentation import SegmentationTrainer
from hinterland.training.loop.trainer import Validation
from hinterland.training.optimisation.optimisers import learning_rate, resolve_recipe
from hinterland.training.optimisation.pace import DeadlinePace, StepPace, seconds_of
from hinterland.training.runs.run_training import resume, train
from hinterland.types import HinterlandError


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def run(pace: DeadlinePace, clock: Clock, step_costs, validation: float = 0.0) -> dict:
    """Steps of these costs until the pace ends; when it validated, and the rates."""
    settings = resolve_recipe(make_config({"recipe": "fast"}))
    rates, validations, step = [], [], 0
    while not pace.ended(step):
        rates.append(learning_rate(settings, OptimiserConfig(), *pace.at(step)))
        clock.time += step_costs(step)
        step += 1
        if pace.due(step):
            validations.append(pace.elapsed)
            clock.time += validation
            pace.validated(validation)
    return {"steps": step, "rates": rates, "validations": validations, "lr": settings.lr}


@pytest.mark.parametrize(
    "cost", [lambda s: 0.5, lambda s: 0.5 if s < 200 else 2.0, lambda s: 2.0 if s < 50 else 0.1],
    ids=["steady", "slows down", "speeds up"],
)  # fmt: skip
def test_ends_annealed_at_the_deadline_whatever_the_speed(cost):
    clock = Clock()
    found = run(DeadlinePace(300, now=clock), clock, cost)
    assert clock.time - 1000 == pytest.approx(300, abs=2.01)  # the step that was under way
    assert found["rates"][-1] < 0.02 * found["lr"]
    assert max(found["rates"]) > 0.9 * found["lr"]
    after_warmup = found["rates"][found["rates"].index(max(found["rates"])) :]
    assert after_warmup == sorted(after_warmup, reverse=True)


def test_steps_of_the_schedule_are_what_fits_at_the_measured_speed():
    clock = Clock()
    pace = DeadlinePace(300, now=clock)
    run(pace, clock, lambda s: 5.0 if s == 0 else 0.5)  # the first step is slow
    assert pace.at(10**6)[1] == pytest.approx(600, abs=12)


def test_time_is_left_for_what_follows_and_validation_takes_a_tenth():
    clock = Clock()
    found = run(DeadlinePace(1000, after=4, now=clock), clock, lambda s: 0.5, validation=20)
    assert clock.time - 1000 + 4 * 20 == pytest.approx(1000, abs=1)
    assert len(found["validations"]) * 20 <= 0.12 * 1000
    assert found["validations"][-1] == pytest.approx(1000 - 5 * 20, abs=1)  # the last, at the end


def test_a_restored_pace_goes_on_where_it_was():
    clock = Clock()
    pace = DeadlinePace(300, now=clock)
    for step in range(100):
        pace.at(step)
        clock.time += 1
    state, stood = pace.state(), pace.at(100)
    clock.time += 12345  # the machine was off
    again = DeadlinePace(300, now=clock)
    again.restore(state)
    assert again.at(100) == stood
    clock.time += 100
    assert again.at(200)[0] / again.at(200)[1] == pytest.approx(200 / 300, abs=0.01)


def test_phases_share_the_time():
    clock = Clock()
    first = DeadlinePace(100, share=0.25, now=clock)
    run(first, clock, lambda s: 0.5)
    assert first.elapsed == pytest.approx(25, abs=0.51)
    second = DeadlinePace(100, spent=first.elapsed, share=1.0, now=clock)
    run(second, clock, lambda s: 0.5)
    assert second.elapsed == pytest.approx(100, abs=0.51)


def test_a_number_of_steps_is_due_at_intervals_and_at_the_end():
    pace = StepPace(10, 4)
    assert [s for s in range(1, 11) if pace.due(s)] == [4, 8, 10]
    assert [pace.ended(s) for s in (9, 10)] == [False, True]


def test_times_as_people_write_them():
    for text, seconds in [
        ("90s", 90),
        ("20min", 1200),
        ("1.5h", 5400),
        ("2h30min", 9000),
        (45, 45),
    ]:
        assert seconds_of(text) == seconds
    for text in ("soon", "20 parsecs", "0s", "-3min", "min"):
        with pytest.raises(HinterlandError, match="expected a time"):
            make_config({"time": text})


def test_a_run_to_a_deadline_ends_and_is_resumed(phantoms, plan, tmp_path):
    method = make_method("supervised", phantoms.labels)
    config = quick(time="6s", recipe="fast")

    class Stopped(Exception):
        pass

    def stop(done: int, steps: int, message: str) -> None:
        if message:  # validated once
            raise Stopped

    rest = {"fold": "fixed", "config": config}
    with pytest.raises(Stopped):
        train(phantoms, plan, method, out=tmp_path / "run", report=stop, **rest)
    saved = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert 0 < saved["pace"]["elapsed"] < 6
    done = resume(tmp_path / "run")
    last = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert last["step"] > saved["step"]
    assert last["pace"]["done"] == 1.0
    assert done.summary["steps"] == last["step"]
    groups = last["optimisers"]["main"]["param_groups"]
    assert all(g["lr"] < 0.25 * resolve_recipe(config).lr * g["lr_share"] for g in groups)
    assert all(torch.isfinite(v).all() for v in last["networks"].values())


@pytest.mark.parametrize("length", [{"steps": 8}, {"time": "6s"}])
def test_best_is_chosen_among_weights_of_one_loss(phantoms, plan, tmp_path, monkeypatch, length):
    """A best from before the regulariser acts is no best of the run that has it."""
    falling = iter(range(1000, 0, -1))
    acted: list[frozenset[str]] = []

    def assess(self, engine) -> Validation:
        acted.append(engine.acted)
        return Validation(next(falling) / 1000, {"val/dice": 0.5}, "validated")

    monkeypatch.setattr(SegmentationTrainer, "assess", assess)
    monkeypatch.setattr(DeadlinePace, "MOST_VALIDATIONS", 1000)
    options = {"discrepancy": {"warm_start": 0.5}}
    config = quick(**length, regularisers=options, validation={"interval": 1})
    method = make_method("supervised", phantoms.labels)
    train(phantoms, plan, method, out=tmp_path / "run", fold="fixed", config=config)
    assert acted[0] == frozenset()
    assert acted[-1] == {"discrepancy"}
    best = load_checkpoint(tmp_path / "run" / "checkpoints" / "best.ckpt")
    assert best["acting"] == ["discrepancy"]
    first = acted.index(frozenset({"discrepancy"}))
    assert best["best"][0] == pytest.approx((1000 - first) / 1000)
