"""A loss, a method, a network and a regulariser of another package, from the command line."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

OUTSIDE = Path(__file__).resolve().parents[1] / "outside"


def hinterland(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A process of its own, which finds the package in `tests/outside`."""
    path = os.pathsep.join([str(OUTSIDE), *filter(None, [os.environ.get("PYTHONPATH")])])
    code = "from hinterland.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True,
        check=False, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


@pytest.mark.slow
def test_entries_of_another_package_train_a_run(phantoms, tmp_path):
    done = hinterland(
        "train", phantoms, "--method", "outside-method", "--labelled", "2", "--fold", "fixed",
        "--with", "outside-regulariser", "--steps", 3, "--out", tmp_path / "run",
        "--set", "network=outside-network", "--set", "loss=outside-loss",
        "--set", "method.entropy=0.2", "--set", "batch_size=2", "--set", "validation.mirror=false",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["method"] == "outside-method"
    assert config["method_options"]["entropy"] == 0.2
    assert (config["network"], config["train"]["loss"]) == ("outside-network", "outside-loss")
    with (tmp_path / "run" / "log.csv").open() as file:
        logged = {row["key"] for row in csv.DictReader(file)}
    terms = {"train/seg", "train/entropy", "train/outside-regulariser/size"}
    assert terms <= logged


@pytest.mark.slow
def test_an_unknown_loss_is_refused_with_those_there_are(phantoms, tmp_path):
    done = hinterland("train", phantoms, "--fold", "fixed", "--steps", 3, "--out",
                      tmp_path / "run", "--set", "loss=odd", "--method", "supervised")  # fmt: skip
    assert done.returncode == 1
    message = " ".join(done.stderr.split())
    assert "'odd'" in message
    assert "dice-ce, dice, ce, focal, tversky, outside-loss" in message
    assert not (tmp_path / "run").exists()
