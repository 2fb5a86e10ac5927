"""Data addition, noise, features and advice, from the first case to the last file."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from picture_sets import QUICK, pictures
from torch import nn

from hinterland.studies.addition.advice import ARMS, Probe, advise_addition, estimate, verdict
from hinterland.studies.addition.study import Addition, run_data_addition
from hinterland.studies.features.analysis import (
    analyse_features,
    correlations,
    groups_by,
    layer_weights,
)
from hinterland.studies.features.shifts import shifts
from hinterland.studies.features.weights import norm_ratio, norm_table, spectral_norms
from hinterland.studies.noise import Noise, run_noise
from hinterland.studies.runner import LOSSES, regularisers, steps_of, with_loss
from hinterland.training.runs.run import Run
from hinterland.types import HinterlandError


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A finished data addition study: two steps a run."""
    folder = tmp_path_factory.mktemp("addition")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HINTERLAND_CACHE", str(folder / "cache"))
        base = pictures(folder / "base", {"train": 3, "val": 1, "test": 3})
        novel = pictures(folder / "novel", {"train": 3}, ground=0.6, edge=40, seed=1)
        asked = Addition(
            (0, 2), ("none", "fd+exch"), seeds=1, steps=2, size=(32, 32),
            settings={**QUICK, "regularisers": {"discrepancy": {"warm_start": 0.0}}},
        )  # fmt: skip
        found = run_data_addition(base, novel, asked, folder / "out")
        yield folder, base, novel, asked, found


def test_data_addition_writes_one_table_and_one_figure(study):
    folder, _, _, _, found = study
    table = pd.read_csv(folder / "out" / "table.csv")
    assert list(zip(table["loss"], table["added"], strict=True)) == [
        ("none", 0), ("none", 2), ("fd+exch", 0), ("fd+exch", 2)
    ]  # fmt: skip
    assert (table["cases"] == 3).all()
    assert table["dice"].between(0, 1).all()
    assert table.loc[table["added"] == 0, "kl_image"].isna().all()
    assert (table.loc[table["added"] == 2, "js_background"] > 0.5).all()
    assert (folder / "out" / "figure.png").stat().st_size > 5000
    assert [c["added"] for c in found["curves"]] == [0, 2, 0, 2]
    assert json.loads((folder / "out" / "summary.json").read_text())["base_cases"] == 3


def test_each_step_trains_on_its_cases_and_tests_on_base(study):
    folder, *_ = study
    for added, expected in ((0, 3), (2, 5)):
        record = Run(folder / "out" / "runs" / f"fd+exch-{added}-seed0").record
        trained = [n for n in record.split["train"] if record.schemes[n] != "none"]
        assert len(trained) == expected
        assert all(n.startswith("base-") for n in record.split["test"])
        assert record.train.regularisers["discrepancy"] == {
            "exchange": "batch", "warm_start": 0.0
        }  # fmt: skip
        # as many epochs of base's cases, and two phases with the loss or without
        without = Run(folder / "out" / "runs" / f"none-{added}-seed0").record
        for each in (record, without):
            assert each.train.steps == {0: 2, 2: 3}[added]
            assert each.method_options["warm_start"] == pytest.approx(100 / 175)


def test_a_study_goes_on_where_it_was_and_refuses_other_settings(study, monkeypatch):
    folder, base, novel, asked, found = study
    monkeypatch.setenv("HINTERLAND_CACHE", str(folder / "cache"))
    kept = folder / "out" / "runs" / "none-0-seed0" / "log.csv"
    stamp = kept.stat().st_mtime_ns
    (folder / "out" / "table.csv").unlink()
    again = run_data_addition(base, novel, asked, folder / "out")
    assert kept.stat().st_mtime_ns == stamp  # not trained again
    assert again == found
    assert (folder / "out" / "table.csv").is_file()
    with pytest.raises(HinterlandError, match=r"other settings .steps"):
        run_data_addition(base, novel, replace(asked, steps=3), folder / "out")
    with pytest.raises(HinterlandError, match="rising numbers up to 3"):
        run_data_addition(base, novel, replace(asked, added=(0, 9)), folder / "new")


def test_steps_grow_with_the_cases_unless_they_are_fixed():
    assert steps_of(200, 22, 45, fixed=False) == 609  # 200 * 67 / 22
    assert steps_of(200, 22, 0, fixed=False) == 200
    assert steps_of(200, 22, 45, fixed=True) == 200


def test_features_of_a_run_with_and_without_the_loss(study, monkeypatch):
    folder, *_ = study
    monkeypatch.setenv("HINTERLAND_CACHE", str(folder / "cache"))
    runs = folder / "out" / "runs"
    run, without = Run(runs / "fd+exch-2-seed0"), Run(runs / "none-2-seed0")
    out = folder / "features"
    found = analyse_features(run, out, without=without, threshold=0.99, maps=1)
    table, layers = (pd.read_csv(out / f"{n}.csv") for n in ("features", "layers"))
    names = list(layers["layer"])
    assert "bottleneck" in names
    assert "decoder.0" in names
    assert set(table["case"]) == {f"base-test{i}" for i in range(3)}
    assert np.isfinite(table[["fd", "fd_without", "dice", "dice_without"]]).all().all()
    assert found["groups"]["worst-off"]["cases"] == found["groups"]["best-off"]["cases"] == 1
    weights = layer_weights(run)
    assert sum(weights.values()) == pytest.approx(1, abs=1e-5)
    assert layers["weight"].sum() == pytest.approx(1, abs=1e-4)
    assert layer_weights(without) == {}
    for name in ("features", "activations", "layers", "shifts", "norms"):
        assert (out / f"{name}.png").stat().st_size > 5000
    moved = pd.read_csv(out / "shifts.csv").set_index("layer")
    part = table[table["layer"] == "bottleneck"]
    assert moved.loc["bottleneck", "fd"] == pytest.approx(
        (part["fd"] - part["fd_without"]).mean(), abs=1e-4
    )
    norms = pd.read_csv(out / "norms.csv")
    assert norms["module"].str.startswith("encoder").any()
    ratio = np.exp(np.log(norms["norm"] / norms["norm_without"]).mean())
    assert found["norm_ratio"] == pytest.approx(ratio, abs=1e-4)
    with pytest.raises(HinterlandError, match="not empty"):
        analyse_features(run, out)


def test_shifts_count_the_cases_that_gain_dice_while_l_fd_falls():
    table = pd.DataFrame(
        {"layer": "bottleneck", "fd": [0.0, 1.0, 2.0, 3.0], "fd_without": [1.0, 0.5, 3.0, np.nan],
         "dice": [0.8, 0.9, 0.4, 0.5], "dice_without": [0.5, 0.8, 0.5, 0.5]}
    )  # fmt: skip
    (row,) = shifts(table).to_dict("records")
    assert (row["n"], row["up_and_left"]) == (3, pytest.approx(1 / 3))
    assert row["fd"] == pytest.approx((-1 + 0.5 - 1) / 3)
    assert row["dice"] == pytest.approx((0.3 + 0.1 - 0.1) / 3)


def test_spectral_norms_are_the_largest_gain_of_a_patch():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.ReLU(), nn.ConvTranspose2d(3, 2, 2, stride=2),
        nn.Conv2d(2, 4, 1, groups=2), nn.Flatten(), nn.Linear(4, 2),
    )  # fmt: skip
    found = spectral_norms(network)
    assert list(found) == ["0", "2", "3", "5"]
    # by what they promise: no patch is made longer by more, and one is by as much
    weight = network[0].weight.detach()
    patches = torch.randn(20_000, 2 * 9)
    gains = (patches @ weight.flatten(1).T).norm(dim=1) / patches.norm(dim=1)
    assert 0.8 * found["0"] < float(gains.max()) <= found["0"]
    pixels = torch.randn(500, 3, 1, 1)
    grown = nn.functional.conv_transpose2d(pixels, network[2].weight, stride=2).flatten(1)
    gains = grown.detach().norm(dim=1) / pixels.flatten(1).norm(dim=1)
    # all outputs of one pixel together are at most twice (four places) what one of them is
    assert float(gains.max()) <= 2 * found["2"]
    halves = [float(torch.linalg.matrix_norm(h.flatten(1), ord=2))
              for h in network[3].weight.detach().chunk(2)]  # fmt: skip
    assert found["3"] == pytest.approx(max(halves), rel=1e-5)
    assert norm_ratio(norm_table(network, network)) == pytest.approx(1.0)
    assert norm_ratio(norm_table(network, None)) is None


def test_noise_study(tmp_path, monkeypatch):
    monkeypatch.setenv("HINTERLAND_CACHE", str(tmp_path / "cache"))
    data = pictures(tmp_path / "data", {"train": 3, "val": 1, "test": 2})
    asked = Noise((0.2,), (0.1,), ("none",), seeds=1, steps=2, settings=QUICK)
    found = run_noise(data, asked, tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    noise = list(zip(table["train_sigma"], table["test_sigma"], strict=True))
    assert noise == [(0.0, 0.0), (0.0, 0.1), (0.2, 0.0)]
    assert table["dice"].between(0, 1).all()
    assert found["curves"][0]["dip"] == 0
    assert (tmp_path / "out" / "figure.png").is_file()
    metrics = tmp_path / "out/runs/none-0-seed0/metrics-test-0.1.csv"
    stamp = metrics.stat().st_mtime_ns
    assert run_noise(data, asked, tmp_path / "out") == found
    assert metrics.stat().st_mtime_ns == stamp
    with pytest.raises(HinterlandError, match="from 0 to 1"):
        run_noise(data, Noise((2.0,)), tmp_path / "bad")


def test_advice_never_looks_at_the_test_cases_and_says_how_unsure_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("HINTERLAND_CACHE", str(tmp_path / "cache"))
    base = pictures(tmp_path / "base", {"train": 4, "test": 2})
    novel = pictures(tmp_path / "novel", {"train": 2}, ground=0.6, seed=1)
    found = advise_addition(base, novel, Probe(2, 2, settings=QUICK), tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "probes.csv")
    assert sorted(table["case"].unique()) == [f"base-train{i}" for i in range(4)]
    assert set(table["arm"]) == set(ARMS)
    assert found["low"] <= found["gain"] <= found["high"]
    assert 0 <= found["probability"] <= 1
    assert found["verdict"] in ("likely to help", "likely to hurt", "undecided")
    apart, same = found["divergences"]["base_novel"], found["divergences"]["base_halves"]
    assert apart["js_background"] > same["js_background"]
    record = Run(tmp_path / "out" / "runs" / "base-0").record
    assert not set(record.split["test"]) & set(record.split["train"])
    assert advise_addition(base, novel, Probe(2, 2, settings=QUICK), tmp_path / "out") == found


def frame(gain: float, spread: float, probes: int = 3, cases: int = 8) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for probe in range(probes):
        for i in range(cases):
            one = rng.uniform(0.4, 0.6)
            added = one + gain + spread * rng.standard_normal()
            for arm, dice in zip(ARMS, (one, added), strict=True):
                rows.append((probe, arm, f"p{probe}c{i}", f"p{probe}c{i}", dice))
    return pd.DataFrame(rows, columns=["probe", "arm", "group", "case", "dice"])


def test_the_estimate_is_sure_of_clear_gains_only():
    clear, harm, none = (estimate(frame(*f)) for f in ((0.1, 0.02), (-0.1, 0.02), (0.0, 0.3)))
    assert clear["gain"] == pytest.approx(0.1, abs=0.02)
    assert verdict(clear["probability"]) == "likely to help"
    assert clear["low"] > 0
    assert verdict(harm["probability"]) == "likely to hurt"
    assert none["low"] < 0 < none["high"]
    same = estimate(frame(0.0, 0.0))
    assert verdict(same["probability"]) == "undecided"


def test_correlations_and_groups():
    table = pd.DataFrame(
        {"layer": ["a"] * 4 + ["b"] * 4, "fd": [4, 3, 2, 1, 1, 1, 1, 1],
         "dice": [0.1, 0.2, 0.3, 0.4] * 2}
    )  # fmt: skip
    found = correlations(table, {"a": 0.7}).set_index("layer")
    assert found.loc["a", "pearson"] == pytest.approx(-1)
    assert found.loc["a", "spearman"] == pytest.approx(-1)
    assert found.loc["a", "weight"] == 0.7
    assert np.isnan(found.loc["b", "pearson"])
    dice = pd.Series([0.9, 0.1, 0.5, 0.3, 0.7, 0.6, 0.8, 0.4], index=list("abcdefgh"))
    assert groups_by(dice) == {"worst-off": ["b", "d"], "best-off": ["g", "a"]}
    assert groups_by(dice, 0.2) == {"worst-off": ["b"], "best-off": ["a"]}
    every = groups_by(dice, 1.0)
    assert len(every["worst-off"]) == len(every["best-off"]) == 4
    assert not set(every["worst-off"]) & set(every["best-off"])


def test_losses_by_name():
    assert set(regularisers(["none", "fd+exch"])) == {"none", "fd+exch"}
    assert LOSSES["none"] == {}
    for bad in ([], ["fd", "fd"], ["l2"]):
        with pytest.raises(HinterlandError, match="expected some of none, fd, "):
            regularisers(bad)


def test_options_of_a_loss_are_kept_and_those_of_others_dropped():
    given = {"steps": 3, "regularisers": {"discrepancy": {"weight": 1.0}, "contrastive": {}}}
    assert with_loss(given, "fd+exch") == {
        "steps": 3, "regularisers": {"discrepancy": {"exchange": "batch", "weight": 1.0}}
    }  # fmt: skip
    assert with_loss(given, "none")["regularisers"] == {}
