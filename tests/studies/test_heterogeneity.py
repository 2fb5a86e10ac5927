"""The study of 2D against 3D: two short runs on volumes, and what is paired."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from hinterland.data.dataset.read import read_dataset
from hinterland.phantoms.dataset import make_phantoms
from hinterland.studies.heterogeneity import Heterogeneity, difference, run_heterogeneity
from hinterland.training.runs.run import Run
from hinterland.types import HinterlandError

SETTINGS = {
    "precision": "fp32", "batch_size": 2, "network_options": {"features": [4, 8]},
    "data": {"augmentation": "none"}, "validation": {"mirror": False},
}  # fmt: skip


def test_two_runs_are_held_together(tmp_path, monkeypatch):
    monkeypatch.setenv("HINTERLAND_CACHE", str(tmp_path / "cache"))
    data = read_dataset(make_phantoms(tmp_path / "data", (2, 1, 2), size=16))
    asked = Heterogeneity(1, 1, settings=SETTINGS, voxels=200)
    found = run_heterogeneity(data, asked, tmp_path / "out")
    assert {name: one["dims"] for name, one in found["runs"].items()} == {
        "2d-seed0": 2, "3d-seed0": 3
    }  # fmt: skip
    lost = {name: one["lost"] for name, one in found["runs"].items()}
    assert found["difference"] == pytest.approx(lost["3d-seed0"] - lost["2d-seed0"], abs=1e-5)
    records = [Run(tmp_path / "out" / "runs" / name).record for name in lost]
    assert records[0].train == records[1].train
    stamp = (tmp_path / "out/runs/3d-seed0/log.csv").stat().st_mtime_ns
    assert run_heterogeneity(data, asked, tmp_path / "out") == found
    assert (tmp_path / "out/runs/3d-seed0/log.csv").stat().st_mtime_ns == stamp
    with pytest.raises(HinterlandError, match="one patch does not fit 2D and 3D"):
        run_heterogeneity(data, replace(asked, settings={"patch_size": [16, 16]}), tmp_path / "new")
    flat = read_dataset(make_phantoms(tmp_path / "flat", (2, 1, 1), dims=2, size=32))
    with pytest.raises(HinterlandError, match="pictures"):
        run_heterogeneity(flat, asked, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_cases_are_paired_and_seeds_averaged():
    rows = [
        {"run": f"{d}d-seed{s}", "case": c, "group": c, "lost": 0.5 + 0.01 * s + gain * (d == 3)}
        for d in (2, 3) for s in (0, 1) for c, gain in (("a", 0.1), ("b", 0.2), ("c", 0.3))
    ]  # fmt: skip
    found = difference(pd.DataFrame(rows))
    assert found["difference"] == pytest.approx(0.2)
    assert found["low"] < 0.2 < found["high"]
