"""study data-addition, study noise, analyse features, advise addition: on tiny phantoms."""

from __future__ import annotations

import pandas as pd
import pytest
from cli_helpers import FAST, as_json


@pytest.fixture(scope="module")
def addition(hinterland, phantoms, tmp_path_factory):
    """A finished study of one run, and what it says to machines."""
    out = tmp_path_factory.mktemp("addition") / "out"
    found = as_json(
        hinterland(
            "study", "data-addition", phantoms, phantoms, "--add", 1, "--losses", "fd", "--seeds",
            1, "--steps", 2, "--out", out, "--json", *FAST,
        )
    )  # fmt: skip
    return out, found


def test_data_addition_says_what_its_table_says(addition):
    out, found = addition
    table = pd.read_csv(out / "table.csv")
    (row,) = found["curves"]
    assert (row["loss"], row["added"], row["seeds"]) == ("fd", 1, 1)
    assert row["dice"] == pytest.approx(table["dice"].item(), abs=1e-5)
    assert (out / "figure.png").is_file()


def test_features_of_its_run(addition, hinterland, tmp_path):
    run = addition[0] / "runs" / "fd-1-seed0"
    found = as_json(
        hinterland("analyse", "features", run, "--out", tmp_path / "f", "--maps", 0, "--json")
    )
    layers = pd.read_csv(tmp_path / "f" / "layers.csv")
    assert [row["layer"] for row in found["layers"]] == layers["layer"].tolist()
    assert layers["weight"].sum() == pytest.approx(1, abs=1e-4)
    assert "--overwrite" in hinterland("analyse", "features", run, "--out", tmp_path / "f",
                                       code=1).stderr  # fmt: skip


def test_ablation_says_what_its_table_says(hinterland, phantoms, tmp_path):
    asked = ("study", "discrepancy", phantoms, "--layers", "bottleneck", "--starts", "0.5",
             "--warm-start", 0.5, "--seeds", 1, "--steps", 2, "--out", tmp_path / "a")  # fmt: skip
    found = as_json(hinterland(*asked, "--json", *FAST))
    table = pd.read_csv(tmp_path / "a" / "table.csv")
    assert table["layers"].tolist() == ["none", "bottleneck"]
    plain, own = found["results"]
    assert own["difference"] == pytest.approx(own["dice"] - plain["dice"])
    shown = hinterland(*asked, *FAST).stdout
    assert f"L_fd in bottleneck, from 0.5 on: Dice {own['dice']:.3f}" in shown


def test_advice_in_words_and_for_machines(hinterland, phantoms, tmp_path):
    asked = ("advise", "addition", phantoms, phantoms, "--probes", 1, "--steps", 1, "--out",
             tmp_path / "advice", *FAST)  # fmt: skip
    shown = hinterland(*asked).stdout
    found = as_json(hinterland(*asked, "--json"))
    assert found["verdict"] in shown
    assert all(line in shown for line in found["reasons"])


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("study", "noise", "DATA", "--sigmas", "loud"), "--sigmas loud: expected numbers"),
        (("study", "noise", "DATA", "--losses", "l2"), "expected some of none, fd, fd+exch"),
        (("study", "noise", "DATA", "--resize", "64"), "--resize 64: expected ROWSxCOLUMNS"),
        (("study", "discrepancy", "DATA", "--starts", "soon"), "--starts soon: expected shares"),
        (("study", "discrepancy", "DATA", "--fold", "all"), "a study needs held-out cases"),
        (("study", "data-addition", "DATA", "DATA", "--add", "0,99"), "expected a number from 0"),
        (("analyse", "features", "DATA"), "is no run directory"),
    ],
)
def test_mistakes_get_one_message(hinterland, phantoms, tmp_path, command, message):
    given = [phantoms if word == "DATA" else word for word in command]
    result = hinterland(*given, "--out", tmp_path / "out", code=1)
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
