"""The figures of the report: one `Result` per class, metric and method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import Any

import pandas as pd

from hinterland.evaluation.metrics.metric import Shown
from hinterland.evaluation.metrics.registry import metric_columns
from hinterland.evaluation.statistics.statistics import compare_tables
from hinterland.evaluation.table import MACRO
from hinterland.report.runs import Arm


@dataclass(frozen=True)
class Result:
    """One method's mean and, unless it is the baseline, its paired difference to the baseline.

    `n` counts the pairs, from `patients` patients, `left_out` those in which a value is missing;
    the means are those of the pairs. Intervals are 95 % bootstrap intervals over patients; `p` is
    Wilcoxon's, `p_holm` corrected over classes and metrics; `effect` the matched-pairs
    rank-biserial correlation; `lower`, `equal`, `higher` the probabilities of the Bayesian
    signed-rank test. `mark` says what a reader must know before believing the mean.
    """

    group: str
    metric: str
    method: str
    baseline: bool
    n: int
    patients: int
    mean: float
    low: float = nan
    high: float = nan
    difference: float = nan
    difference_low: float = nan
    difference_high: float = nan
    p: float = nan
    p_holm: float = nan
    p_permutation: float = nan
    effect: float = nan
    lower: float = nan
    equal: float = nan
    higher: float = nan
    left_out: int = 0
    mark: str = ""

    @property
    def name(self) -> str:
        """The method, with its mark in brackets."""
        return f"{self.method} ({self.mark})" if self.mark else self.method


def wide(table: pd.DataFrame, group: str, metric: str) -> pd.DataFrame:
    """Pivot the metric of one class, averaged over seeds: a row a case, a column a method.

    Args:
        table: metric tables of all methods.
        group: the class.
        metric: its column.

    Returns:
        The pivot table.
    """
    rows = table[table["class"].astype(str) == group]
    return rows.pivot_table(
        index="case", columns="method", values=metric, aggfunc="mean", dropna=False, sort=False
    )


def shared_metrics(arms: Sequence[Arm]) -> list[str]:
    """Return the metrics that every arm has, in the registry's order, without plain counts."""
    tables = [arm.table for arm in arms]
    shared = [m for m in metric_columns(tables[0], Shown.REQUEST) if all(m in t for t in tables)]
    return [m for m in shared if any(t[m].notna().any() for t in tables)]


def results_of(arms: Sequence[Arm], metrics: Sequence[str]) -> list[Result]:
    """Compute all results: the mean over classes first, then by class; per metric all methods.

    The metrics given are one family for Holm's correction. Raises HinterlandError as
    `compare_tables` does: different cases, classes, policies or units.
    """
    baseline, others = arms[0], arms[1:]
    found: dict[tuple[str, str], list[Result]] = {}
    for other in others:
        compared = compare_tables(baseline.table, other.table, metrics)
        for row in compared.to_dict("records"):
            line = found.setdefault((row["class"], row["metric"]), [])
            if not line:
                line.append(_result(row, baseline.name, "baseline", row["class"]))
            line.append(_result(row, other.name, "other", row["class"]))
    order = list(dict.fromkeys(group for group, _ in found))
    order.sort(key=lambda group: group != MACRO)
    return [r for g in order for m in metrics for r in found.get((g, m), [])]


def _result(row: dict[Any, Any], method: str, side: str, group: str) -> Result:
    means = Result(
        group=group,
        metric=row["metric"],
        method=method,
        baseline=side == "baseline",
        n=row["cases"],
        patients=row["patients"],
        mean=row[side],
        low=row[f"{side}_low"],
        high=row[f"{side}_high"],
    )
    if means.baseline:
        return means
    return replace(
        means,
        difference=row["difference"],
        difference_low=row["low"],
        difference_high=row["high"],
        p=row["p_wilcoxon"],
        p_holm=row["p_wilcoxon_holm"],
        p_permutation=row["p_permutation"],
        effect=row["rank_biserial"],
        lower=row["probability_lower"],
        equal=row["probability_equal"],
        higher=row["probability_higher"],
        left_out=row["left_out"],
    )


def differences_of(arms: Sequence[Arm], metric: str = "dice") -> pd.DataFrame:
    """Compute the differences to the baseline: case, class, method, difference.

    Positive is better for metrics of which more is better.
    """
    table = pd.concat([arm.table for arm in arms], ignore_index=True)
    parts = []
    for group in dict.fromkeys(table["class"].astype(str)):
        values = wide(table, group, metric)
        for arm in arms[1:]:
            change = values[arm.name] - values[arms[0].name]
            named = change.rename("difference").rename_axis("case").reset_index()
            parts.append(named.assign(**{"class": group, "method": arm.name}))
    return pd.concat(parts, ignore_index=True)
