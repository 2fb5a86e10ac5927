"""Who wins how often, and whether the difference matters: beyond means and p-values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import isfinite

import pandas as pd

from hinterland.evaluation.metrics.registry import METRICS
from hinterland.evaluation.statistics.ranking import RankingStability, ranking_stability
from hinterland.evaluation.statistics.statistics import patients_of
from hinterland.evaluation.table import MACRO
from hinterland.report.breakdown import Breakdown
from hinterland.report.format import MISSING, number
from hinterland.report.results import Result, wide
from hinterland.report.runs import Arm


@dataclass(frozen=True)
class Ranking:
    """The ranking of all methods by one metric of one class, and how often patients repeat it."""

    group: str
    metric: str
    methods: tuple[str, ...]
    ranks: tuple[float, ...]
    wins: tuple[float, ...]
    tau: float


def rankings(arms: Sequence[Arm], metrics: Sequence[str]) -> list[Ranking]:
    """Rank the methods by each metric of each class, over resampled patients.

    Args:
        arms: the methods.
        metrics: names; those without a direction are left out.

    Returns:
        A ranking for each class and metric that all cases of all methods have a value of.
    """
    table = pd.concat([arm.table for arm in arms], ignore_index=True)
    methods = tuple(arm.name for arm in arms)
    classes = list(dict.fromkeys(table["class"].astype(str)))
    found = []
    for name in metrics:
        direction = METRICS.get(name).direction
        if direction == "neither":
            continue
        values = {group: wide(table, group, name)[list(methods)] for group in classes}
        if len(classes) > 1:
            values = {MACRO: reduce(pd.DataFrame.add, values.values()) / len(classes), **values}
        for group, part in values.items():
            stable = ranking_stability(
                part.to_numpy(float),
                patients_of(table, list(part.index)),
                higher_is_better=direction == "higher",
            )
            found.append(_ranking(group, name, methods, stable))
    return [r for r in found if all(isfinite(v) for v in r.wins)]


def _ranking(
    group: str, metric: str, methods: tuple[str, ...], stable: RankingStability
) -> Ranking:
    return Ranking(group, metric, methods, stable.ranks, stable.wins, stable.tau)


def ranking_breakdowns(
    ranked: Sequence[Ranking], results: Sequence[Result], unit: str
) -> list[Breakdown]:
    """Tabulate rankings, with the probabilities of the Bayesian test beside them.

    Args:
        ranked: the rankings.
        results: the paired differences to the baseline.
        unit: of distances.

    Returns:
        A table for each class and metric.
    """
    of = {(r.group, r.metric, r.method): r for r in results}
    tables = []
    for ranking in ranked:
        metric = METRICS.get(ranking.metric)
        columns: tuple[str, ...] = ("rank", "best in", "tau")
        rope = metric.rope
        if rope is not None:
            shown = f"{number(rope, metric.name)} {metric.shown_unit(unit)}".strip()
            columns += ("lower", f"equal (within {shown})", "higher")
        rows = []
        for method, rank, wins in zip(ranking.methods, ranking.ranks, ranking.wins, strict=True):
            cells: tuple[str, ...] = (f"{rank:g}", _percent(wins), number(ranking.tau, "dice"))
            if rope is not None:
                r = of[ranking.group, ranking.metric, method]
                cells += tuple(_percent(p) for p in (r.lower, r.equal, r.higher))
            rows.append((method, cells))
        title = f"{ranking.group} · {metric.axis(unit)}"
        tables.append(Breakdown(title, columns, tuple(rows)))
    return tables


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if isfinite(share) else MISSING
