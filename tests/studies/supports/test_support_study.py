"""The studies of support structures: their arms, and one of them run, resumed and refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pandas as pd
import pytest
from factories import spec_of

from hinterland.data.dataset.read import read_dataset
from hinterland.phantoms.dataset import make_phantoms
from hinterland.studies.supports.arms import (
    BINARY,
    STUDIES,
    candidates,
    checked,
    cumulative,
    fine_tuning,
    partial,
    standard_axes,
    variations,
    virtual,
)
from hinterland.studies.supports.figure import draw
from hinterland.studies.supports.study import (
    Study,
    _arms,
    _planner,
    folder_of,
    run_supports_study,
)
from hinterland.types import HinterlandError

SPEC = spec_of(
    {"background": {"liver": {}, "spleen": {}, "rest": {}}, "lesion": {}}, ["lesion"],
    {"full": {0: "rest", 1: "liver", 2: "spleen", 3: "lesion"}},
)  # fmt: skip


def test_candidates_are_the_background_without_the_remainder():
    assert candidates(SPEC) == ["liver", "spleen"]
    assert checked(SPEC.with_virtual(), []) == ["liver", "spleen"]
    assert checked(SPEC, ["spleen"]) == ["spleen"]
    with pytest.raises(HinterlandError, match="lies in the target"):
        checked(SPEC, ["lesion"])
    plain = spec_of({"rest": {}, "lesion": {}})
    with pytest.raises(HinterlandError, match="hinterland supports"):
        candidates(plain)


@pytest.mark.parametrize("study", STUDIES)
def test_every_arm_is_a_coarsening_that_answers_the_target(study):
    arms = STUDIES[study](["liver", "spleen"])
    assert arms[0].name.endswith(BINARY)
    assert len({a.name for a in arms}) == len({folder_of(a, 0) for a in arms}) == len(arms)
    for arm in arms:
        virtual = arm.changes.get("virtual", 0)
        spec = SPEC.with_virtual(virtual) if virtual else SPEC
        spec.target.over(spec.question(arm.on[0]))
        assert not arm.init_from or arm.init_from in {a.name for a in arms}


def test_arms_by_hand():
    assert [a.on[0] for a in cumulative(["liver", "spleen"])] == [
        "target", "target/liver", "target/liver/spleen",
    ]  # fmt: skip
    found = {
        a.name: (a.changes.get("fine"), a.changes.get("naive", False), a.x)
        for a in partial(["liver"], (25, 100))
    }
    assert found == {
        "binary": (None, False, None), "naive 25 %": ("25%@target", True, 25),
        "marginal 25 %": ("25%@target", False, 25), "100 %": (None, False, 100),
    }  # fmt: skip
    last = fine_tuning(["liver", "spleen"])[-1]
    assert (last.steps, last.init_from) == (0.25, BINARY)
    assert [
        len(SPEC.with_virtual(a.changes.get("virtual", 0)).question(a.on[0]))
        for a in virtual(["liver", "spleen"])
    ] == [2, 3, 4, 4]
    names = [a.name for a in variations(["liver"], standard_axes(2, (64, 64, 64), 3, {}))]
    assert "batch 4: binary" in names
    assert "dims 2D: all supports" in names
    assert "patch 48x48x48: binary" in names


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """A small 2D phantom data set."""
    folder = tmp_path_factory.mktemp("flat")
    return read_dataset(make_phantoms(folder / "data", cases=(4, 1, 2), size=24, dims=2))


def test_variations_give_both_arms_of_a_network_the_patch_that_it_takes(flat):
    settings = {"patch_size": [40, 24], "batch_size": 2}
    study = Study("variations", ("host",), settings=settings, dims=2,
                  networks=("unet", "segresnet", "swinunetr", "vnet"))  # fmt: skip
    arms = {arm.name: arm.settings for arm in _arms(study, ["host"], _planner(flat, study))}
    assert {n: s for n, s in arms.items() if n.startswith("network ")} == {
        f"network {name}: {arm}": {"network": name, **patch}
        for name, patch in (
            ("segresnet", {}),  # multiples of 8
            ("swinunetr", {"patch_size": [32, 64]}),  # of 32, and not one voxel at the bottom
            ("vnet", {"patch_size": [32, 32]}),  # of 16
        )
        for arm in (BINARY, "all supports")
    }
    with pytest.raises(HinterlandError, match="network 'nonet'"):
        _arms(replace(study, networks=("nonet",)), ["host"], _planner(flat, study))


def test_a_figure_of_each_kind(tmp_path):
    rows = [
        {"arm": a.name, "curve": a.curve, "x": a.x, "dice": 0.5, "dice_sd_of_seeds": None}
        for a in partial(["liver"])
    ]
    draw(pd.DataFrame(rows), "partial", tmp_path / "curves.png")
    bars = pd.DataFrame([{**r, "x": None, "dice_sd_of_seeds": 0.1} for r in rows])
    draw(bars, "bars", tmp_path / "bars.png")
    for name in ("curves", "bars"):
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_a_study_runs_goes_on_and_refuses_another(tmp_path, monkeypatch):
    monkeypatch.setenv("HINTERLAND_CACHE", str(tmp_path / "cache"))
    data = read_dataset(make_phantoms(tmp_path / "data", cases=(4, 1, 2), size=24, dims=2))
    settings = {
        "network_options": {"features": [4, 8]}, "precision": "fp32", "batch_size": 2,
        "patch_size": [32, 32], "validation": {"mirror": False, "interval": 2},
    }  # fmt: skip
    study = Study("one-by-one", ("host",), "fixed", 1, 2, settings, 2, 1.0)
    found = run_supports_study(data, study, tmp_path / "out")
    assert [r["arm"] for r in found["results"]] == ["binary", "+ host"]
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    assert table["dice"].between(0, 1).all()
    second = found["results"][1]
    assert second["difference"] == pytest.approx(second["dice"] - found["results"][0]["dice"])
    assert second["baseline"] == "binary"
    # one arm is lost: only that one is trained again, to the same end
    kept = tmp_path / "out" / "runs" / "binary-seed0" / "summary.json"
    before = kept.stat().st_mtime_ns
    (tmp_path / "out" / "runs" / "host-seed0" / "summary.json").unlink()
    again = run_supports_study(data, study, tmp_path / "out")
    assert kept.stat().st_mtime_ns == before
    assert again["results"] == found["results"]
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["results"]
    with pytest.raises(HinterlandError, match="other settings"):
        run_supports_study(data, Study("virtual", ("host",), "fixed"), tmp_path / "out")
    with pytest.raises(HinterlandError, match="expected one of"):
        run_supports_study(data, Study("nothing"), tmp_path / "other")
