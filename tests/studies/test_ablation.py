"""The study of L_fd's layers and of its start, from the first case to the last file."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from picture_sets import QUICK, pictures

from hinterland.studies.ablation import Ablation, differences, run_ablation
from hinterland.training.runs.run import Run
from hinterland.types import HinterlandError


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A finished study: two steps a run, SegResNet, whose maps are seen though it nests them."""
    folder = tmp_path_factory.mktemp("ablation")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HINTERLAND_CACHE", str(folder / "cache"))
        data = pictures(folder / "data", {"train": 3, "val": 1, "test": 2})
        settings = {**QUICK, "network": "segresnet", "network_options": {"features": [8, 8]}}
        asked = Ablation(("all", "bottleneck"), (0.0,), 0.5, 1, 2, settings=settings)
        yield folder, data, asked, run_ablation(data, asked, folder / "out")


def test_every_start_has_an_arm_without_the_loss(study):
    folder, *_, found = study
    arms = [("none", 0.5), ("none", 0.0), ("all", 0.5), ("bottleneck", 0.5), ("all", 0.0)]
    assert [(row["layers"], row["start"]) for row in found["results"]] == arms
    table = pd.read_csv(folder / "out" / "table.csv")
    assert list(zip(table["layers"], table["start"], strict=True)) == arms
    assert table["dice"].between(0, 1).all()
    assert (folder / "out" / "figure.png").stat().st_size > 5000
    assert json.loads((folder / "out" / "summary.json").read_text()) == json.loads(
        json.dumps(found)
    )


def test_arms_differ_in_the_loss_alone(study):
    folder, *_ = study
    records = {path.name: Run(path).record for path in (folder / "out" / "runs").iterdir()}
    assert set(records) == {"none-0.5-seed0", "none-0-seed0", "all-0.5-seed0",
                            "bottleneck-0.5-seed0", "all-0-seed0"}  # fmt: skip
    for name, record in records.items():
        layers, start, _ = name.split("-")
        own = {"layers": layers, **({} if float(start) else {"warm_start": 0.0})}
        assert record.train.regularisers == ({} if layers == "none" else {"discrepancy": own})
        assert record.method_options["warm_start"] == float(start)
    first, second = (records[f"{n}-0.5-seed0"].train for n in ("none", "all"))
    assert first.model_copy(update={"regularisers": second.regularisers}) == second


def test_it_goes_on_and_refuses_what_no_layer_is_before_it_trains(study, monkeypatch):
    folder, data, asked, found = study
    monkeypatch.setenv("HINTERLAND_CACHE", str(folder / "cache"))
    stamp = (folder / "out/runs/all-0-seed0/log.csv").stat().st_mtime_ns
    assert run_ablation(data, asked, folder / "out") == found
    assert (folder / "out/runs/all-0-seed0/log.csv").stat().st_mtime_ns == stamp
    with pytest.raises(HinterlandError, match=r"layers='decoder.9': expected all"):
        run_ablation(data, replace(asked, layers=("all", "decoder.9")), folder / "new")
    with pytest.raises(HinterlandError, match="from 0 to below 1"):
        run_ablation(data, replace(asked, starts=(1.0,)), folder / "new")
    assert not (folder / "new").exists()


def test_differences_are_paired_by_seed_and_case():
    asked = Ablation(("all",), (), 0.5)
    gains = np.array([[0.1, 0.3], [0.0, 0.2], [0.2, 0.4]])  # seed, case
    rows = [
        {"layers": layers, "start": 0.5, "seed": s, "group": f"p{c}", "case": f"c{c}",
         "dice": 0.2 * c + 0.1 * s + (gains[s, c] if layers == "all" else 0)}
        for layers in ("none", "all") for s in range(3) for c in range(2)
    ]  # fmt: skip
    plain, own = differences(pd.DataFrame(rows), asked)
    assert "difference" not in plain
    assert own["difference"] == pytest.approx(gains.mean())
    assert own["low"] < own["difference"] < own["high"]
    # seeds gain .2, .1, .3: t = .2 / (.1 / sqrt 3) = 3.4641 with 2 degrees
    assert own["p_runs"] == pytest.approx(0.0741799, abs=1e-6)
    assert own["sd"] == pytest.approx(np.std([0.3, 0.3, 0.6], ddof=1))
