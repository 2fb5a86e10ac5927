"""A loss, a method, a network and a regulariser of another package, from the command line."""

from __future__ import annotations

import csv

import pytest
import yaml

from outside import run_outside


@pytest.mark.slow
def test_entries_of_another_package_train_a_run(phantoms, tmp_path):
    run_outside(
        "train", phantoms, "--method", "outside-method", "--labelled", "2", "--fold", "fixed",
        "--with", "outside-regulariser", "--steps", 3, "--out", tmp_path / "run",
        "--set", "network=outside-network", "--set", "loss=outside-loss",
        "--set", "method.entropy=0.2", "--set", "batch_size=2", "--set", "validation.mirror=false",
    )  # fmt: skip
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
    done = run_outside("train", phantoms, "--fold", "fixed", "--steps", 3, "--out",
                       tmp_path / "run", "--set", "loss=odd", "--method", "supervised",
                       code=1)  # fmt: skip
    message = " ".join(done.stderr.split())
    assert "'odd'" in message
    assert "dice-ce, dice, ce, focal, tversky, outside-loss" in message
    assert not (tmp_path / "run").exists()
