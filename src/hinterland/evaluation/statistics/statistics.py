"""Comparing methods on metric tables: paired by case, over patients, over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
import pandas as pd

from hinterland.evaluation.metrics.metric import Shown
from hinterland.evaluation.metrics.registry import METRICS, metric_columns
from hinterland.evaluation.statistics.bootstrap import (
    RESAMPLES,
    bootstrap_means,
    by_group,
    percentile_interval,
)
from hinterland.evaluation.statistics.paired_tests import (
    cliffs_delta,
    holm,
    permutation_test,
    rank_biserial,
    smallest_p,
    t_test,
    underpowered,
    wilcoxon,
)
from hinterland.evaluation.statistics.rope import bayesian_signed_rank
from hinterland.evaluation.table import GROUPING, MACRO
from hinterland.types import HinterlandError

_KEYS = ["coarsening", "class"]


@dataclass(frozen=True)
class _Paired:
    """Both methods on the same cases: (cases, columns) with one column per key."""

    baseline: np.ndarray
    other: np.ndarray
    keys: list[tuple[str, str, str]]  # coarsening, class, metric
    groups: np.ndarray


def compare_tables(
    baseline: pd.DataFrame,
    other: pd.DataFrame,
    metrics: Sequence[str] | None = None,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare two metric tables, paired by case: one row per coarsening, class and metric.

    A case that has several rows (seeds) enters with their mean. Pairs in which either value is
    missing or infinite are left out and counted. Intervals resample patients (column `group`; a
    case without one is its own patient); the tests use the mean difference of each patient. A
    coarsening with several classes also gets the rows `mean over classes`.

    Args:
        baseline: the table of the first method.
        other: the table of the second, of the same cases.
        metrics: columns to compare; default, all that both have and a comparison shows.
        level: coverage of the intervals, in 0..1.
        resamples: bootstrap resamples and sign patterns.
        seed: of the draws.

    Returns:
        A table with the columns coarsening, class, metric, baseline, other (means), their limits
        (`baseline_low` ...), difference (other - baseline) with `low` and `high`, p_wilcoxon,
        p_permutation, p_t, the first two after Holm's correction over all classes and metrics of
        the coarsening (`..._holm`; the macro rows are a family of their own), probability_lower,
        probability_equal, probability_higher (`bayesian_signed_rank`), rank_biserial,
        cliffs_delta, cases, patients, left_out, smallest_p, underpowered (below 20 patients),
        higher_is_better.

    Raises:
        HinterlandError: different cases, classes or questions, different empty-mask policies or
            units, no common metric.
    """
    pair = _pair(baseline, other, metrics)
    difference = pair.other - pair.baseline
    usable = np.isfinite(difference)
    stacked = np.concatenate(
        [np.where(usable, part, nan) for part in (pair.baseline, pair.other, difference)], axis=1
    )
    sums, counts = by_group(stacked, pair.groups)
    distribution = bootstrap_means(stacked, pair.groups, resamples=resamples, seed=seed)
    width = len(pair.keys)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (sums.sum(axis=0) / counts.sum(axis=0)).reshape(3, width)
        patient_means = (sums / counts)[:, 2 * width :]
    families = _families(pair.keys)
    members = [[i] for i in range(width)] + list(families.values())
    keys = pair.keys + [(coarsening, MACRO, metric) for coarsening, metric in families]
    boots = distribution.reshape(resamples, 3, width)
    rows = []
    for key, columns in zip(keys, members, strict=True):
        units = int((counts[:, [2 * width + c for c in columns]] > 0).any(axis=1).sum())
        low, high = percentile_interval(boots[:, :, columns].mean(axis=2), units, level)
        mean = means[:, columns].mean(axis=1)
        rows.append(
            {
                **dict(zip((*_KEYS, "metric"), key, strict=True)),
                "baseline": mean[0], "baseline_low": low[0], "baseline_high": high[0],
                "other": mean[1], "other_low": low[1], "other_high": high[1],
                "difference": mean[2], "low": low[2], "high": high[2],
                **_tests(_row_mean(patient_means[:, columns]), resamples, seed),
                **_posterior(_row_mean(patient_means[:, columns]), METRICS.get(key[2]).rope, seed),
                "cliffs_delta": cliffs_delta(
                    _row_mean(np.where(usable, pair.other, nan)[:, columns]),
                    _row_mean(np.where(usable, pair.baseline, nan)[:, columns]),
                ),
                "cases": int(usable[:, columns].sum(axis=0).min()),
                "patients": units,
                "left_out": int((~usable[:, columns]).sum(axis=0).max()),
                "smallest_p": smallest_p(units),
                "underpowered": underpowered(units),
                "higher_is_better": METRICS.get(key[2]).direction != "lower",
            }
        )  # fmt: skip
    return _corrected(pd.DataFrame(rows))


def _tests(differences: np.ndarray, resamples: int, seed: int) -> dict[str, float]:
    permuted = permutation_test(differences, resamples=resamples, seed=seed)
    return {
        "p_wilcoxon": wilcoxon(differences),
        "p_permutation": float(permuted[0]),
        "p_t": t_test(differences),
        "rank_biserial": rank_biserial(differences),
    }


def _posterior(differences: np.ndarray, rope: float | None, seed: int) -> dict[str, float]:
    found = bayesian_signed_rank([] if rope is None else differences, rope or 0.0, seed=seed)
    return {f"probability_{name}": value for name, value in vars(found).items()}


def _row_mean(values: np.ndarray) -> np.ndarray:
    """Average over the columns that have a value, NaN for rows without any."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, values, 0.0).sum(axis=1) / known.sum(axis=1)


def _families(keys: list[tuple[str, str, str]]) -> dict[tuple[str, str], list[int]]:
    """Group the columns of several classes that make one macro mean, by coarsening and metric."""
    families: dict[tuple[str, str], list[int]] = {}
    for i, (coarsening, _, metric) in enumerate(keys):
        families.setdefault((coarsening, metric), []).append(i)
    return {k: v for k, v in families.items() if len(v) > 1}


def _corrected(result: pd.DataFrame) -> pd.DataFrame:
    for test in ("p_wilcoxon", "p_permutation"):
        adjusted = pd.Series(nan, index=result.index)
        family = [result["coarsening"], result["class"] == MACRO]
        for _, part in result.groupby(family, sort=False):
            adjusted[part.index] = holm(part[test].to_numpy())
        result.insert(list(result.columns).index(test) + 1, f"{test}_holm", adjusted)
    return result


def _pair(baseline: pd.DataFrame, other: pd.DataFrame, metrics: Sequence[str] | None) -> _Paired:
    common = [m for m in metric_columns(baseline) if m in metric_columns(other)]
    tested = metric_columns(baseline, Shown.COMPARED)
    chosen = list(metrics) if metrics else [m for m in tested if m in common]
    if not chosen or any(m not in common for m in chosen):
        raise HinterlandError(
            f"cannot compare {chosen or list(tested)}: both tables have only {common}."
            " Choose among them."
        )
    for column, what in (("empty", "empty-mask policies"), ("unit", "units")):
        if column in baseline and column in other:
            kinds = set(baseline[column].dropna()) ^ set(other[column].dropna())
            if kinds:
                raise HinterlandError(
                    f"the tables have different {what} ({', '.join(sorted(kinds))}); evaluate "
                    "both with one and the same."
                )
    first, second = (_wide(t, chosen) for t in (baseline, other))
    for axis, what in (("index", "cases"), ("columns", "classes and questions")):
        a, b = set(getattr(first, axis)), set(getattr(second, axis))
        if a != b:
            raise HinterlandError(
                f"the tables hold different {what}; only in the baseline: {_some(a - b)}; only in "
                f"the other: {_some(b - a)}. A paired comparison needs both on the same."
            )
    second = second.loc[first.index, first.columns]
    columns: list[Any] = first.columns.to_list()
    keys = [(str(c), str(k), str(m)) for m, c, k in columns]
    groups = patients_of(baseline, list(first.index))
    return _Paired(first.to_numpy(float), second.to_numpy(float), keys, groups)


def _wide(table: pd.DataFrame, metrics: list[str]) -> pd.DataFrame:
    table = table.assign(**{k: table[k].fillna("") if k in table else "" for k in _KEYS})
    return table.pivot_table(
        index="case", columns=_KEYS, values=metrics, aggfunc="mean", dropna=False, sort=False
    )


def patients_of(table: pd.DataFrame, cases: list[str]) -> np.ndarray:
    """Name the patient of each case: its column `group`, or the case itself where that is empty."""
    if "group" not in table.columns:
        return np.asarray(cases, dtype=str)
    known = table.drop_duplicates("case").set_index("case")["group"]
    return np.array([str(g) if pd.notna(g) and g != "" else str(c) for c, g in
                     ((c, known[c]) for c in cases)])  # fmt: skip


def _some(items: set[Any]) -> str:
    names = sorted(str(i) for i in items)
    return (
        ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") or "none"
    )


def over_seeds(table: pd.DataFrame, metrics: Sequence[str] | None = None) -> pd.DataFrame:
    """Compute mean and spread over seeds, apart from the spread over cases.

    One row per method, coarsening, class and metric: `seeds`, `mean` (of the seeds' means),
    `std_seeds` (of the means of the seeds over cases; NaN for one seed) and `std_cases` (of the
    means of the cases over seeds).

    Raises:
        HinterlandError: the table has no column `seed`.
    """
    if "seed" not in table.columns:
        raise HinterlandError("the table has no column `seed`. Add it, or compare without --seeds.")
    names = list(metrics or metric_columns(table, Shown.COMPARED))
    keys = [k for k in GROUPING if k in table.columns]
    long = table.melt([*keys, "case", "seed"], names, var_name="metric")
    keys = [*keys, "metric"]
    runs, cases = (
        long.groupby([*keys, over], sort=False, dropna=False)["value"]
        .mean()
        .groupby(level=keys, sort=False, dropna=False)
        for over in ("seed", "case")
    )
    result = runs.agg(seeds="count", mean="mean", std_seeds="std")
    return result.assign(std_cases=cases.std()).reset_index()
