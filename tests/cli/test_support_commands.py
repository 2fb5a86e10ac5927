"""The command line of support structures: options of train, study supports, advise supports."""

from __future__ import annotations

import pandas as pd
import pytest
import yaml
from cli_helpers import FAST, as_json


def test_fine_tuning_with_virtual_noisy_and_partial_supports(hinterland, phantoms, runs, tmp_path):
    run = tmp_path / "run"
    hinterland(
        "train", phantoms, "--method", "supervised", "--on", "target/host", "--virtual", 1,
        "--fine", "40%@target", "--naive", "--noise", 0.8, "--init-from", runs / "binary",
        "--fold", "fixed", "--steps", 2, "--out", run, *FAST,
    )  # fmt: skip
    known = yaml.safe_load((run / "config.yaml").read_text())
    assert list(known["on"][0]) == ["everything else", "lesion", "host", "virtual1"]
    assert known["init_from"] == str(runs / "binary")
    assert (known["naive"], known["noise"]) == (True, 0.8)
    assert known["train"]["optimiser"]["lr"] == pytest.approx(1e-3)
    schemes = [known["schemes"][name] for name in known["split"]["train"]]
    assert (schemes.count("full"), schemes.count("full@naive")) == (2, 3)
    table = pd.read_csv(run / "metrics.csv")
    assert set(table["coarsening"]) == {"target", "cells"}


def test_advice_for_people_and_machines(hinterland, phantoms, runs, tmp_path):
    arguments = ["advise", "supports", phantoms, runs / "binary", "--steps", 2, "--out",
                 tmp_path / "advice", *FAST]  # fmt: skip
    found = as_json(hinterland(*arguments, "--json"))
    assert {s["support"] for s in found["supports"]} == {"host", "decoy", "bowel", "spine"}
    assert found["baseline"] == str(runs / "binary")
    said = hinterland(*arguments).stdout  # the probe is there already
    assert "Take " in said
    assert "assumes patches centred on the target's classes (data.foreground_on=target)" in said
    assert found["foreground_on"] == "target"
    other = ["advise", "supports", phantoms, runs / "binary", "--steps", 2, "--out",
             tmp_path / "other", *FAST, "--set", "data.foreground_on=on"]  # fmt: skip
    assert as_json(hinterland(*other, "--json"))["foreground_on"] == "on"
    assert "host" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "DATA", "--method", "supervised", "--noise", "1.5"], "expected a number above"),
        (["train", "DATA", "--method", "supervised", "--init-from", "nowhere"], "no run directory"),
        (["study", "supports", "DATA", "nothing"], "one-by-one"),
        (["study", "supports", "DATA", "virtual", "--supports", "lesion"], "lies in the target"),
        (["study", "supports", "DATA", "virtual", "--fold", "all"], "held-out cases"),
        (["advise", "supports", "DATA", "--supports", "liver"], "not in the label tree"),
        (["advise", "supports", "DATA", "nowhere"], "no run directory"),
    ],
)
def test_mistakes_get_one_message(hinterland, phantoms, tmp_path, arguments, message):
    out = tmp_path / "out"
    filled = [phantoms if a == "DATA" else a for a in arguments]
    result = hinterland(*filled, "--out", out, code=1)
    assert message in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert not out.exists()


def test_gradients_of_a_run_and_of_one_that_knows_the_target_alone(hinterland, runs, tmp_path):
    asked = ("analyse", "gradients", runs / "backsplit", "--voxels", 200, "--out")
    found = as_json(hinterland(*asked, tmp_path / "g", "--json"))
    one = found["runs"]["backsplit"]
    shown = hinterland(*asked, tmp_path / "g", "--overwrite").stdout
    assert f"{one['lost']:.1%} of the information is lost" in shown
    assert all(f"{name}: splitting it off adds" in shown for name in one["added"])
    refused = hinterland("analyse", "gradients", runs / "binary", "--out", tmp_path / "b", code=1)
    assert "tells no structures apart" in refused.stderr
