"""The t-test over runs: by hand, by scipy, and what it leaves open."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hinterland.evaluation.statistics.over_runs import run_differences, t_test


def table(dice_of_seed: dict[int, list[float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [{"case": f"c{i}", "class": "lesion", "seed": seed, "fold": "0", "dice": value}
         for seed, values in dice_of_seed.items() for i, value in enumerate(values)]
    )  # fmt: skip


def test_five_runs_against_the_baselines_by_hand():
    gains = np.array([0.01, 0.03, 0.02, 0.04, 0.00])
    base = table({s: [0.5 + s / 100, 0.7] for s in range(5)})
    other = table({s: [0.5 + s / 100 + 2 * g, 0.7] for s, g in enumerate(gains)})
    (row,) = run_differences(base, other, ["dice"]).to_dict("records")
    assert (row["class"], row["metric"], row["runs"]) == ("lesion", "dice", 5)
    assert row["difference"] == pytest.approx(0.02)
    # mean / (sd / sqrt n) = .02 / (.0158113883 / sqrt 5) = 2.8284271; p = .0474207 with 4 degrees
    assert row["p"] == pytest.approx(0.0474207, abs=1e-6)
    assert row["p"] == pytest.approx(stats.ttest_1samp(gains, 0).pvalue)
    reach = 2.7764451 * 0.0158113883 / np.sqrt(5)
    assert (row["low"], row["high"]) == pytest.approx((0.02 - reach, 0.02 + reach), abs=1e-6)


def test_runs_are_paired_by_seed_and_a_lonely_one_is_left_out():
    base, other = table({0: [0.2], 1: [0.6]}), table({1: [0.7], 0: [0.31], 7: [0.9]})
    (row,) = run_differences(base, other, ["dice"]).to_dict("records")
    assert row["runs"] == 2
    assert row["difference"] == pytest.approx((0.11 + 0.10) / 2)


def test_one_baseline_run_is_held_against_all_runs_of_the_other():
    base, other = table({3: [0.5, 0.7]}), table({s: [0.5 + s / 50, 0.7] for s in range(5)})
    (row,) = run_differences(base, other, ["dice"]).to_dict("records")
    assert row["runs"] == 5
    assert row["difference"] == pytest.approx(0.02)
    gains = [s / 100 for s in range(5)]
    assert row["p"] == pytest.approx(stats.ttest_1samp(gains, 0).pvalue)


def test_what_cannot_be_tested_is_not_a_number():
    assert np.isnan(t_test([0.1]))
    assert np.isnan(t_test([0.1, 0.1]))
    assert np.isnan(t_test([0.1, float("nan")]))
