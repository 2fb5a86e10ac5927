"""advise annotate, and the maps of predict: on a tiny run with two opinions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from cli_helpers import FAST, as_json
from PIL import Image

from hinterland.data.io.journal import Journal
from hinterland.data.io.volume import read_volume


@pytest.fixture(scope="module")
def cvbm(hinterland, phantoms, tmp_path_factory):
    run = tmp_path_factory.mktemp("cvbm") / "run"
    hinterland(
        "train", phantoms, "--method", "cvbm", "--fold", "fixed", "--steps", 2, "--labelled",
        "2:cases", "--set", "method.pretrain=0.5", "--out", run, *FAST,
    )  # fmt: skip
    return run


def maps_in(folder):
    return sorted(folder.glob("*/*"))


def test_cases_are_ranked_on_screen_in_a_file_and_for_machines(
    hinterland, cvbm, phantoms, tmp_path
):
    images, out, maps = phantoms / "imagesTs", tmp_path / "rank.csv", tmp_path / "maps"
    found = as_json(
        hinterland("advise", "annotate", cvbm, images, "--out", out, "--maps", maps, "--json")
    )
    table = pd.read_csv(out)
    assert [c["case"] for c in found["cases"]] == table["case"].tolist()
    assert table["rank"].tolist() == [1, 2, 3]
    assert table["score"].is_monotonic_decreasing
    assert [p.parent.name for p in maps_in(maps)] == ["disagreement"] * 3 + ["uncertainty"] * 3
    hinterland("advise", "annotate", cvbm, images, "--out", out, code=1)
    hinterland("advise", "annotate", cvbm, images, "--maps", maps, code=1)
    shown = hinterland("advise", "annotate", cvbm, images).stdout
    assert all(name in shown for name in table["case"])


def test_a_ranking_that_was_stopped_goes_on(hinterland, cvbm, phantoms, tmp_path, monkeypatch):
    images, whole, out = phantoms / "imagesTs", tmp_path / "whole", tmp_path / "out"
    ask = ("advise", "annotate", cvbm, images, "--maps")
    hinterland(*ask, whole)
    left, finish = [1], Journal.finish

    def stop(self, *paths):
        if not left[0]:
            raise KeyboardInterrupt
        finish(self, *paths)
        left[0] -= 1

    monkeypatch.setattr(Journal, "finish", stop)
    for count in (1, 0):
        left[0] = count
        hinterland(*ask, out, code=130)
    monkeypatch.setattr(Journal, "finish", finish)
    assert "--overwrite" in hinterland(*ask, out, "--checkpoint", "last", code=1).stderr
    hinterland(*ask, out)
    written = {f: {p.relative_to(f): p.read_bytes() for p in maps_in(f)} for f in (whole, out)}
    assert written[out] == written[whole]
    assert len(written[out]) == 6
    assert not list(out.glob(".*"))


def test_predict_writes_maps_beside_the_segmentations(hinterland, cvbm, phantoms, tmp_path):
    images, out = phantoms / "imagesTs", tmp_path / "out"
    found = as_json(
        hinterland("predict", cvbm, images, out, "--uncertainty", "--disagreement", "--json")
    )
    assert found["maps"] == [str(out / "uncertainty"), str(out / "disagreement")]
    for name in found["cases"]:
        size = Image.open(out / f"{name}.png").size
        for kind in ("uncertainty", "disagreement"):
            (file,) = (out / kind).glob(f"{name}.*")
            values = read_volume((file,)).array
            assert values.shape[-2:] == size[::-1]
            assert values.min() >= 0
            assert 0 < values.max() <= 1
    again = hinterland("predict", cvbm, images, out, "--uncertainty", code=1)
    assert "--overwrite" in again.stderr
    hinterland("predict", cvbm, images, out, "--uncertainty", "--overwrite")


def test_one_opinion_has_no_disagreement(hinterland, runs, phantoms, tmp_path):
    images, out = phantoms / "imagesTs", tmp_path / "out"
    result = hinterland("predict", runs / "binary", images, out, "--disagreement", code=1)
    assert "one opinion" in result.stderr
    assert not out.exists()
    hinterland("predict", runs / "binary", images, out, "--uncertainty")
    assert len(maps_in(out)) == 3


def test_cvbm_of_one_view_has_one_opinion_too(hinterland, phantoms, tmp_path):
    run, images, out = tmp_path / "run", phantoms / "imagesTs", tmp_path / "out"
    hinterland(
        "train", phantoms, "--method", "cvbm", "--fold", "fixed", "--steps", 2, "--labelled",
        "2:cases", "--set", "method.pretrain=0.5", "--set", "method.views=foreground",
        "--out", run, *FAST,
    )  # fmt: skip
    result = hinterland("predict", run, images, out, "--disagreement", code=1)
    assert "one opinion" in result.stderr
    assert not out.exists()
    hinterland("advise", "annotate", run, images, "--maps", out)
    assert {p.parent.name for p in maps_in(out)} == {"uncertainty"}
    assert len(maps_in(out)) == 3


def test_uncertainty_is_the_entropy_of_the_written_probabilities(
    hinterland, runs, phantoms, tmp_path
):
    out = tmp_path / "out"
    image = next((phantoms / "imagesTs").iterdir())
    name = as_json(
        hinterland("predict", runs / "binary", image, out, "--uncertainty", "--probabilities",
                   "--json")
    )["cases"][0]  # fmt: skip
    (uncertain,) = (read_volume((f,)).array for f in (out / "uncertainty").glob(f"{name}.*"))
    (p,) = (read_volume((f,)).array for f in (out / "probabilities").glob(f"{name}.*"))
    p = np.clip(p, 1e-12, 1)
    assert np.abs(uncertain - -(p * np.log(p)).sum(axis=0) / np.log(2)).max() < 1e-4


def test_confidence_of_two_runs_side_by_side(hinterland, cvbm, runs, tmp_path):
    out, both = tmp_path / "out", (runs / "binary", cvbm)
    found = as_json(hinterland("analyse", "confidence", *both, "--out", out, "--maps", 1, "--json"))
    assert found["cases"] == 3
    assert {p.name for p in out.iterdir()} == {
        "curves.csv", "curves.png", "embedding.csv", "embedding.png", "maps.png", "summary.json",
    }  # fmt: skip
    curves = pd.read_csv(out / "curves.csv")
    assert set(curves["quantity"]) == {"Dice", "confidence", "entropy"}
    assert curves.groupby(["run", "quantity"])["step"].max().eq([3, 3, 3, 2, 2, 2]).all()
    for name, run in (("binary", runs / "binary"), ("run", cvbm)):
        log = pd.read_csv(run / "log.csv")
        entropy = log[log["key"] == "val/entropy"]["value"].iloc[-1]
        assert found["runs"][name]["entropy"] == pytest.approx(entropy)
        assert 0 <= entropy <= 1
        assert -1 <= found["runs"][name]["silhouette"] <= 1
    points = pd.read_csv(out / "embedding.csv")
    assert set(points["run"]) == {"binary", "run"}
    assert points["cell"].nunique() == 2
    assert points.groupby(["run", "cell"]).size().max() <= 150
    again = hinterland("analyse", "confidence", *both, "--out", out, code=1)
    assert "--overwrite" in again.stderr
