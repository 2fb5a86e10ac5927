"""Tests, intervals and effect sizes against scipy and statsmodels, and by simulated studies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hinterland.evaluation.statistics.bootstrap import (
    bootstrap_ci,
    bootstrap_means,
    percentile_interval,
)
from hinterland.evaluation.statistics.difference import paired_difference
from hinterland.evaluation.statistics.paired_tests import (
    cliffs_delta,
    holm,
    one_sample_t,
    permutation_test,
    rank_biserial,
    smallest_p,
    t_test,
    underpowered,
    wilcoxon,
)
from hinterland.evaluation.statistics.statistics import compare_tables, over_seeds
from hinterland.evaluation.table import MACRO
from hinterland.types import HinterlandError


def test_p_values_are_scipys() -> None:
    rng = np.random.default_rng(0)
    for n in (6, 15, 40):
        a, b = rng.normal(0.3, 1, n), rng.normal(0, 1, n)
        assert wilcoxon(a - b) == pytest.approx(stats.wilcoxon(a, b).pvalue)
        assert t_test(a - b) == pytest.approx(stats.ttest_rel(a, b).pvalue)
        theirs = stats.permutation_test(
            (a, b), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=1 << 15
        )
        tolerance = 1e-12 if n < 15 else 0.02
        ours = permutation_test(a - b, resamples=1 << 15)[0]
        assert ours == pytest.approx(theirs.pvalue, abs=tolerance)


def test_one_sample_t_is_scipys() -> None:
    runs = [0.81, 0.83, 0.80, 0.84, 0.82]
    assert one_sample_t(runs, 0.8) == pytest.approx(stats.ttest_1samp(runs, 0.8).pvalue)


def test_holm_is_statsmodels() -> None:
    multipletests = pytest.importorskip("statsmodels.stats.multitest").multipletests
    rng = np.random.default_rng(1)
    for n in (1, 2, 7, 30):
        p = rng.random(n) ** 3
        np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])
    with_gap = holm([0.01, np.nan, 0.04])
    np.testing.assert_allclose(with_gap, [0.02, np.nan, 0.04])


def test_effect_sizes_by_hand() -> None:
    assert cliffs_delta([1, 2, 3], [0, 2]) == pytest.approx((4 - 1) / 6)
    x, y = np.random.default_rng(2).normal(size=(2, 30)).round(1)
    slow = np.mean([np.sign(a - b) for a in x for b in y])
    assert cliffs_delta(x, y) == pytest.approx(slow)
    assert rank_biserial([1, 2, 3]) == 1.0
    assert rank_biserial([3, -1, -2]) == 0.0
    assert rank_biserial([0.5, 0, -2]) == pytest.approx((1 - 2) / 3)


def test_degenerate_differences() -> None:
    assert wilcoxon([0, 0, 0]) == 1.0
    assert t_test([0.0, 0.0]) == 1.0
    assert rank_biserial([0.0, 0.0]) == 0.0
    assert permutation_test(np.zeros(6))[0] == 1.0
    assert np.isnan(wilcoxon([np.nan]))
    assert np.isnan(t_test([0.3]))


def test_power_is_known() -> None:
    assert smallest_p(5) == 0.0625  # five cases cannot be significant
    assert wilcoxon([0.1, 0.2, 0.3, 0.4, 0.5]) == pytest.approx(smallest_p(5))
    assert permutation_test(np.arange(1.0, 6.0))[0] == pytest.approx(smallest_p(5))
    assert underpowered(19)
    assert not underpowered(20)


def test_bootstrap_interval_is_scipys() -> None:
    values = np.random.default_rng(3).gamma(2, size=60)
    ours = bootstrap_ci(values, expanded=False)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=10_000, rng=1)
    width = ours.high - ours.low
    assert ours.mean == pytest.approx(values.mean())
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.05 * width)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.05 * width)
    assert bootstrap_ci(values) == bootstrap_ci(values)  # a seed, no global state


def test_scans_of_one_patient_are_no_independent_cases() -> None:
    rng = np.random.default_rng(4)
    patients = np.repeat(np.arange(30), 4)
    values = rng.normal(size=30)[patients] + 0.01 * rng.normal(size=120)
    by_case, by_patient = bootstrap_ci(values), bootstrap_ci(values, patients)
    assert by_patient.n == 30
    assert by_patient.high - by_patient.low > 1.7 * (by_case.high - by_case.low)
    assert by_patient.mean == pytest.approx(by_case.mean)


def test_missing_values_are_left_out() -> None:
    with_gaps = bootstrap_ci([0.8, np.nan, 0.9, np.inf, 0.7])
    assert with_gaps.n == 3
    assert with_gaps.mean == pytest.approx(0.8)
    assert np.isnan(bootstrap_ci([0.5]).low)


def studies(n: int, effect: float, count: int, seed: int) -> np.ndarray:
    """Paired Dice differences (cases, studies): skewed, heavy-tailed, mean `effect`."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 0.03, (n, count)) + 0.04 * (rng.exponential(1, (n, count)) - 1)
    return noise + effect


@pytest.mark.parametrize("n", [15, 40])
def test_intervals_cover_about_95_percent(n: int) -> None:
    differences = studies(n, 0.0, 1500, seed=n)
    distribution = bootstrap_means(differences, resamples=2000)
    low, high = percentile_interval(distribution, n)
    covered = ((low <= 0) & (high >= 0)).mean()
    assert 0.925 <= covered <= 0.975  # binomial error of 1,500 studies: .006
    plain = percentile_interval(distribution, n, expanded=False)
    assert ((plain[0] <= 0) & (plain[1] >= 0)).mean() < covered


def test_planted_difference_is_found_and_planted_null_is_not() -> None:
    null = permutation_test(studies(40, 0.0, 2000, seed=6), resamples=2000)
    planted = permutation_test(studies(40, 0.03, 500, seed=7), resamples=2000)
    assert 0.035 <= (null < 0.05).mean() <= 0.065
    assert (planted < 0.05).mean() > 0.9


@pytest.mark.slow
def test_rates_over_whole_simulated_comparisons() -> None:
    """200 studies of 30 patients, two classes, two metrics, through `compare_tables`: with nothing
    planted hardly any study has a significant row after Holm; a planted difference is found."""
    false_alarms, covered, power = [], [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        null = compare_tables(*pair_of_tables(rng, 30, 0.0), resamples=500, seed=seed)
        rows = null[null["class"] != MACRO]
        false_alarms.append((rows["p_permutation_holm"] < 0.05).any())
        covered.append(((rows["low"] <= 0) & (rows["high"] >= 0)).mean())
        found = compare_tables(*pair_of_tables(rng, 30, 0.05), resamples=500, seed=seed)
        dice = found[(found["metric"] == "dice") & (found["class"] != MACRO)]
        power.append((dice["p_permutation_holm"] < 0.05).mean())
    assert np.mean(false_alarms) <= 0.08
    assert 0.93 <= np.mean(covered) <= 0.97
    assert np.mean(power) > 0.9


def pair_of_tables(
    rng: np.random.Generator, cases: int, effect: float, seeds: int = 1
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Metric tables of a baseline and of a method with a true Dice difference of `effect`."""
    level = rng.normal(0.75, 0.1, (cases, 2))

    def table(method: str, shift: float) -> pd.DataFrame:
        rows = [
            {"case": f"c{i}", "class": name, "coarsening": "leaves", "method": method, "seed": s,
             "empty": "penalty", "unit": "mm",
             "dice": level[i, k] + shift + rng.normal(0, 0.04),
             "hd95": 10 - 5 * level[i, k] + rng.normal(0, 1)}
            for s in range(seeds) for i in range(cases) for k, name in enumerate(("lv", "rv"))
        ]  # fmt: skip
        return pd.DataFrame(rows)

    return table("baseline", 0.0), table("other", effect)


def test_comparison_is_what_the_parts_say() -> None:
    baseline, other = pair_of_tables(np.random.default_rng(8), 25, 0.03)
    result = compare_tables(baseline, other)
    assert list(result["class"]) == ["lv", "rv", "lv", "rv", MACRO, MACRO]
    row = result.iloc[0]
    a, b = (t.query("`class` == 'lv'").set_index("case")["dice"] for t in (baseline, other))
    assert row["difference"] == pytest.approx((b - a).mean())
    assert row["baseline"] == pytest.approx(a.mean())
    assert row["p_wilcoxon"] == pytest.approx(stats.wilcoxon(b, a).pvalue)
    assert row["rank_biserial"] == pytest.approx(rank_biserial((b - a).to_numpy()))
    assert row["cliffs_delta"] == pytest.approx(cliffs_delta(b.to_numpy(), a.to_numpy()))
    assert row["low"] < row["difference"] < row["high"]
    interval = bootstrap_ci((b - a).to_numpy())
    assert row["low"] == pytest.approx(interval.low, abs=0.003)
    classes = result[result["class"] != MACRO]
    np.testing.assert_allclose(classes["p_wilcoxon_holm"], holm(classes["p_wilcoxon"]))
    macro = result[(result["class"] == MACRO) & (result["metric"] == "dice")].iloc[0]
    assert macro["difference"] == pytest.approx(result["difference"][:2].mean())
    assert not row["underpowered"]
    assert row["cases"] == row["patients"] == 25


def test_order_of_rows_and_duplicate_seeds_do_not_matter() -> None:
    baseline, other = pair_of_tables(np.random.default_rng(9), 12, 0.02, seeds=3)
    result = compare_tables(baseline, other)
    shuffled = compare_tables(baseline, other.sample(frac=1, random_state=0))
    pd.testing.assert_frame_equal(result, shuffled)
    means = [t.groupby(["case", "class"], as_index=False)["dice"].mean() for t in (baseline, other)]
    collapsed = compare_tables(*means, metrics=["dice"])
    dice = result[result["metric"] == "dice"]["difference"].to_numpy()
    np.testing.assert_allclose(collapsed["difference"], dice)
    assert result["underpowered"].all()


def test_patients_count_once() -> None:
    baseline, other = pair_of_tables(np.random.default_rng(10), 24, 0.02)
    groups = {f"c{i}": f"p{i // 3}" for i in range(24)}
    result = compare_tables(
        baseline.assign(group=baseline["case"].map(groups)),
        other.assign(group=other["case"].map(groups)),
    )
    assert set(result["patients"]) == {8}
    assert set(result["cases"]) == {24}
    assert result["smallest_p"].iloc[0] == 2 / 2**8


def test_left_out_pairs_are_counted() -> None:
    baseline, other = pair_of_tables(np.random.default_rng(11), 10, 0.02)
    baseline.loc[0, "hd95"] = np.inf
    other.loc[2, "hd95"] = np.nan
    result = compare_tables(baseline, other).set_index(["class", "metric"])
    assert result.loc[("lv", "hd95"), "left_out"] == 2
    assert result.loc[("lv", "hd95"), "cases"] == 8
    assert result.loc[("lv", "dice"), "left_out"] == 0


def test_tables_that_cannot_be_compared() -> None:
    baseline, other = pair_of_tables(np.random.default_rng(12), 6, 0.0)
    with pytest.raises(HinterlandError, match=r"different cases.*c5"):
        compare_tables(baseline, other[other["case"] != "c5"])
    with pytest.raises(HinterlandError, match="different classes"):
        compare_tables(baseline, other[other["class"] != "rv"])
    with pytest.raises(HinterlandError, match="empty-mask policies"):
        compare_tables(baseline, other.assign(empty="drop"))
    with pytest.raises(HinterlandError, match="different units"):
        compare_tables(baseline, other.assign(unit="voxel"))
    with pytest.raises(HinterlandError, match="cannot compare"):
        compare_tables(baseline, other, metrics=["nsd"])


def test_seeds_and_cases_spread_apart() -> None:
    rng = np.random.default_rng(13)
    level, run = rng.normal(0.8, 0.1, 200), np.array([-0.02, 0.0, 0.02])
    rows = [
        {"case": f"c{i}", "class": "x", "coarsening": "q", "method": "m", "seed": s,
         "dice": level[i] + run[s]}
        for s in range(3) for i in range(200)
    ]  # fmt: skip
    row = over_seeds(pd.DataFrame(rows)).iloc[0]
    assert row["seeds"] == 3
    assert row["std_seeds"] == pytest.approx(0.02)
    assert row["std_cases"] == pytest.approx(level.std(ddof=1))
    assert row["mean"] == pytest.approx(level.mean())


def test_one_paired_difference_is_that_of_a_comparison() -> None:
    """Interval and p of `paired_difference` are those that `compare_tables` prints."""
    rng = np.random.default_rng(3)
    rows = [
        {"case": f"c{i}", "class": "x", "coarsening": "t", "group": f"p{i // 2}", "dice": d}
        for i, d in enumerate(rng.uniform(0.3, 0.9, 14))
    ]
    first = pd.DataFrame(rows)
    second = first.assign(dice=first["dice"] + rng.normal(0.05, 0.1, 14))
    row = compare_tables(first, second, ["dice"]).iloc[0]
    found = paired_difference(second["dice"] - first["dice"], first["group"])
    assert (found.mean, found.low, found.high, found.p) == pytest.approx(
        tuple(row[c] for c in ("difference", "low", "high", "p_wilcoxon"))
    )
    assert (found.cases, found.patients) == (14, 7)


def test_paired_difference_is_wider_than_plain_quantiles_and_knows_its_limits() -> None:
    values = np.array([0.1, -0.2, 0.3, 0.05, np.nan])
    found = paired_difference(values)
    plain = np.quantile(bootstrap_means(values[:4, None], seed=0), [0.025, 0.975])
    assert found.low < plain[0] < plain[1] < found.high
    assert (found.cases, found.patients) == (4, 4)
    alone = paired_difference([0.1, 0.2], ["a", "a"])
    assert alone.mean == pytest.approx(0.15)
    assert np.isnan([alone.low, alone.high, alone.p]).all()
    assert np.isnan(paired_difference([]).mean)
