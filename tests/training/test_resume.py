"""A run that was stopped, even by `kill -9`, ends equal to one that never was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from training_helpers import quick

from hinterland.methods import make_method
from hinterland.training.checkpoint import load_checkpoint
from hinterland.training.runs.run_training import resume, train
from hinterland.types import HinterlandError


class Stopped(Exception):
    pass


def stop_at(step: int):
    def report(done: int, steps: int, message: str) -> None:
        if done == step:
            raise Stopped

    return report


def assert_equal_runs(a: Path, b: Path) -> None:
    one, two = (load_checkpoint(r / "checkpoints" / "last.ckpt") for r in (a, b))
    assert one["networks"].keys() == two["networks"].keys()
    for name, value in one["networks"].items():
        assert torch.equal(value, two["networks"][name]), name
    assert one["optimisers"].keys() == two["optimisers"].keys()
    for name, optimiser in one["optimisers"].items():
        other = two["optimisers"][name]["state"]
        assert optimiser["state"].keys() == other.keys()
        for key, state in optimiser["state"].items():
            for what, value in state.items():
                same = torch.as_tensor(value), torch.as_tensor(other[key][what])
                assert torch.equal(*same), (name, what)
    assert (one["step"], one["best"]) == (two["step"], two["best"])
    assert (a / "log.csv").read_text() == (b / "log.csv").read_text()


@pytest.mark.parametrize("step", [3, 7, 10])
def test_stopped_and_resumed_equals_uninterrupted(phantoms, plan, tmp_path, step):
    method = make_method("backsplit", phantoms.labels)
    train(
        phantoms, plan, method, out=tmp_path / "whole", fold="fixed", config=quick(), finish=False
    )
    with pytest.raises(Stopped):
        train(
            phantoms, plan, method, out=tmp_path / "cut", fold="fixed", config=quick(),
            report=stop_at(step),
        )  # fmt: skip
    resume(tmp_path / "cut", finish=False)
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.parametrize("recipe", ["paper", "fast"])
@pytest.mark.parametrize("name", ["sassnet", "ss-net", "ua-mt"])
def test_two_optimisers_a_memory_and_a_dropping_teacher_are_resumed(
    phantoms, plan, tmp_path, name, recipe
):
    """With batch norm and dropout: all that a method keeps, and all that it draws."""
    method = make_method(name, phantoms.labels)
    config = quick(
        steps=5, network="unet-ssl4mis", batch_size=2, patch_size=(16, 16, 32),
        validation={"interval": 2}, recipe=recipe,
    )  # fmt: skip
    rest = {"fold": "fixed", "labelled": "2:cases", "config": config, "finish": False}
    train(phantoms, plan, method, out=tmp_path / "whole", **rest)
    with pytest.raises(Stopped):
        train(phantoms, plan, method, out=tmp_path / "cut", report=stop_at(3), **rest)
    resume(tmp_path / "cut", finish=False)
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut")


def test_averaged_weights_are_resumed(phantoms, plan, tmp_path):
    method = make_method("supervised", phantoms.labels)
    config = quick(steps=6, averaging=0.7, recipe="fast", validation={"interval": 2})
    rest = {"fold": "fixed", "config": config, "finish": False}
    whole = train(phantoms, plan, method, out=tmp_path / "whole", **rest)
    with pytest.raises(Stopped):
        train(phantoms, plan, method, out=tmp_path / "cut", report=stop_at(3), **rest)
    resume(tmp_path / "cut", finish=False)
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut")
    content = load_checkpoint(whole.path / "checkpoints" / "last.ckpt")
    assert content["averaged"] == 6
    differ = [
        n for n, v in content["networks"].items() if not torch.equal(v, content["trained"][n])
    ]
    assert any(n.endswith("weight") for n in differ)


def test_resuming_a_finished_run_changes_nothing(phantoms, plan, tmp_path):
    method = make_method("supervised", phantoms.labels)
    run = train(
        phantoms, plan, method, out=tmp_path / "run", fold="fixed", config=quick(steps=4),
        finish=False,
    )  # fmt: skip
    before = (run.path / "checkpoints" / "last.ckpt").read_bytes()
    resume(run.path, finish=False)
    assert (run.path / "checkpoints" / "last.ckpt").read_bytes() == before


@pytest.mark.slow
def test_kill_9_and_resume(phantoms, plan, tmp_path):
    """A process killed at a random moment, as often as it takes, ends like an uninterrupted one."""
    script = Path(__file__).parent / "training_script.py"
    environment = {**os.environ, "HINTERLAND_CACHE": os.environ["HINTERLAND_CACHE"]}

    def start(out: Path, action: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(script), str(phantoms.root), str(out), action]
        return subprocess.Popen(command, env=environment)

    assert start(tmp_path / "whole", "train").wait(300) == 0
    process = start(tmp_path / "cut", "train")
    checkpoint = tmp_path / "cut" / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 200
    while not checkpoint.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert start(tmp_path / "cut", "resume").wait(300) == 0
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut")


def test_a_run_without_directory_and_a_changed_data_set_are_refused(phantoms, plan, tmp_path):
    with pytest.raises(HinterlandError, match=r"no run directory.*hinterland train"):
        resume(tmp_path / "nothing")
    method = make_method("supervised", phantoms.labels)
    out = tmp_path / "run"
    train(phantoms, plan, method, out=out, fold="fixed", config=quick(steps=1), finish=False)
    with pytest.raises(HinterlandError, match=r"exists already.*--overwrite"):
        train(phantoms, plan, method, out=out, fold="fixed", config=quick(steps=1))
    text = (out / "plan.json").read_text()
    (out / "plan.json").write_text(text.replace(plan.fingerprint, "0" * 16))
    with pytest.raises(HinterlandError, match="fingerprint"):
        resume(out)
