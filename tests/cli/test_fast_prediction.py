"""predict --fast and --auto-mirror, analyse prediction: by the command line, on a tiny run."""

from __future__ import annotations

import json
import shutil

import pytest
from cli_helpers import FAST, as_json

from hinterland.data.io.journal import Journal
from hinterland.inference.coarse_to_fine import Search


@pytest.fixture(scope="module")
def run(hinterland, phantoms, tmp_path_factory):
    """A run whose tiles are a quarter of a picture."""
    path = tmp_path_factory.mktemp("small") / "run"
    hinterland("train", phantoms, "--method", "supervised", "--fold", "fixed", "--steps", 3,
               "--out", path, *FAST, "--set", "patch_size=[16, 16]",
               "--set", "validation.shortcuts=0")  # fmt: skip
    return path


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run, tmp_path / "copy")


def errors(result):
    return [line for line in result.stderr.splitlines() if line.startswith("error: ")]


def test_measured_afterwards_and_shown(hinterland, copy):
    assert "prediction" not in json.loads((copy / "summary.json").read_text())
    found = as_json(hinterland("analyse", "prediction", copy, "--cases", 1, "--json"))
    assert found["cases"] == 1
    assert json.loads((copy / "summary.json").read_text())["prediction"] == {
        k: v for k, v in found.items() if k != "run"
    }
    again = hinterland("analyse", "prediction", copy, code=1)
    assert "was measured already: predicting 1 validation cases: mirroring" in again.stderr
    shown = hinterland("analyse", "prediction", copy, "--overwrite").stdout
    assert "predicting 2 validation cases: mirroring changes Dice by" in shown
    assert "seconds a case" in shown


def test_auto_mirror_says_what_it_does(hinterland, copy, phantoms, tmp_path):
    ask = ("predict", copy, phantoms / "imagesTs")
    unknown = hinterland(*ask, tmp_path / "x", "--auto-mirror", code=1)
    assert len(errors(unknown)) == 1
    assert f"hinterland analyse prediction {copy}" in unknown.stderr
    hinterland("analyse", "prediction", copy)
    summary = json.loads((copy / "summary.json").read_text())
    for pays, flag in ((True, "--mirror"), (False, "--no-mirror")):
        summary["prediction"]["mirroring"]["pays"] = pays
        (copy / "summary.json").write_text(json.dumps(summary))
        auto, asked = tmp_path / f"auto{flag}", tmp_path / f"asked{flag}"
        said = hinterland(*ask, auto, "--auto-mirror").stderr
        assert f"mirroring: {'yes' if pays else 'no'}; predicting 2 validation cases" in said
        hinterland(*ask, asked, flag)
        files = sorted(p.relative_to(asked) for p in asked.rglob("*.png"))
        assert files
        assert all((auto / f).read_bytes() == (asked / f).read_bytes() for f in files)


def test_fast_of_a_wide_margin_is_the_full_prediction(
    hinterland, run, phantoms, tmp_path, monkeypatch
):
    wide = Search(margin=1000, threshold=0.0)
    monkeypatch.setattr("hinterland.training.runs.run.Search", lambda: wide)
    ask = ("predict", run, phantoms / "imagesTs")
    hinterland(*ask, tmp_path / "full", "--probabilities")
    hinterland(*ask, tmp_path / "fast", "--probabilities", "--fast")
    files = sorted(p.relative_to(tmp_path / "full") for p in (tmp_path / "full").rglob("*.*"))
    assert len([f for f in files if f.suffix == ".png"]) >= 3
    for file in files:
        if (tmp_path / "full" / file).is_file():
            one, other = ((tmp_path / k / file).read_bytes() for k in ("full", "fast"))
            assert one == other, file


def test_fast_is_other_work_than_full(hinterland, run, phantoms, tmp_path, monkeypatch):
    """A fast prediction that was stopped is not gone on with in full."""
    ask = ("predict", run, phantoms / "imagesTs", tmp_path / "out")
    left, finish = [1], Journal.finish

    def stop(self, *paths):
        if not left[0]:
            raise KeyboardInterrupt
        finish(self, *paths)
        left[0] -= 1

    monkeypatch.setattr(Journal, "finish", stop)
    hinterland(*ask, "--fast", code=130)
    monkeypatch.setattr(Journal, "finish", finish)
    assert "predictions exist already" in hinterland(*ask, code=1).stderr
    hinterland(*ask, "--fast")
    assert len(list((tmp_path / "out").glob("*.png"))) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--fast", "--uncertainty"), "--uncertainty is a map of all of it"),
        (("--auto-mirror", "--mirror"), "give one of them"),
        (("--auto-mirror", "--no-mirror"), "give one of them"),
    ],
)
def test_contradictions_are_one_message(hinterland, run, phantoms, tmp_path, options, message):
    out = tmp_path / "out"
    result = hinterland("predict", run, phantoms / "imagesTs", out, *options, code=1)
    assert len(errors(result)) == 1
    assert message in result.stderr
    assert not out.exists()


def test_a_run_without_validation_cases_cannot_be_measured(hinterland, copy):
    text = (copy / "config.yaml").read_text()
    assert "  val:\n" in text
    before, after = text.split("  val:\n")
    rest = after[after.index("  test:\n") :]
    (copy / "config.yaml").write_text(f"{before}  val: []\n{rest}")
    result = hinterland("analyse", "prediction", copy, code=1)
    assert len(errors(result)) == 1
    assert "no validation case with labels" in result.stderr


def test_training_prints_what_was_measured(hinterland, phantoms, tmp_path):
    shown = hinterland(
        "train", phantoms, "--method", "supervised", "--fold", "fixed", "--steps", 2,
        "--out", tmp_path / "run", *FAST, "--set", "validation.shortcuts=1",
    ).stdout  # fmt: skip
    assert "predicting 1 validation cases: mirroring changes Dice by" in shown
