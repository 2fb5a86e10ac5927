"""Worst-off and best-off cases, and subgroups given by a column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hinterland.data.io.csv_text import with_original_text
from hinterland.evaluation.metrics.metric import Shown
from hinterland.evaluation.metrics.registry import metric_columns
from hinterland.evaluation.statistics.bootstrap import bootstrap_ci
from hinterland.types import HinterlandError

WORST, BEST = "worst-off", "best-off"


def worst_best(
    baseline: pd.DataFrame, *, metric: str = "dice", threshold: float = 0.5
) -> dict[str, str]:
    """Sort cases into `worst-off` and `best-off`, judged by the baseline alone (paper 2).

    Worst-off are the cases whose metric (mean over classes and seeds) lies below `threshold`,
    best-off equally many from the other end; cases between belong to neither. No case is both:
    where more than half are worst-off, the best-off are the remaining ones.

    Args:
        baseline: metric table of the baseline.
        metric: its column.
        threshold: below which a case is worst-off.

    Returns:
        Case -> subgroup.

    Raises:
        HinterlandError: the table has no such metric.

    >>> table = pd.DataFrame({"case": ["a", "b", "c"], "dice": [0.2, 0.6, 0.9]})
    >>> worst_best(table)
    {'a': 'worst-off', 'c': 'best-off'}
    """
    if metric not in baseline.columns:
        raise HinterlandError(
            f"the baseline's table has no column {metric!r}. Evaluate it with that metric."
        )
    means = baseline.groupby("case")[metric].mean().dropna().sort_values(kind="stable")
    worst = [str(c) for c, value in means.items() if value < threshold]
    others = [str(c) for c in means.index[len(worst) :]]
    best = others[max(len(others) - len(worst), 0) :] if worst else []
    return dict.fromkeys(worst, WORST) | dict.fromkeys(best, BEST)


def read_cases(path: Path) -> pd.DataFrame:
    """Read a CSV of cases, every column as text.

    Raises:
        HinterlandError: it cannot be read.
    """
    try:
        return with_original_text(pd.read_csv(path, dtype=str, keep_default_na=False))
    except (ValueError, OSError) as error:
        raise HinterlandError(
            f"{path} is not a readable table of cases: {error} Give a CSV file with a header line."
        ) from None


def with_subgroup(table: pd.DataFrame, cases: pd.DataFrame, column: str) -> pd.DataFrame:
    """Add the column `subgroup` to a table, looked up by case in a cases table.

    Args:
        table: one row per case, question and class.
        cases: with the columns `case` (or `group`, the patient) and `column`.
        column: which of its columns is the subgroup.

    Returns:
        A copy of the table.

    Raises:
        HinterlandError: a column is missing, or a case has no entry.
    """
    key = "case" if "case" in cases.columns else "group"
    if key not in cases.columns or column not in cases.columns or key not in table.columns:
        raise HinterlandError(
            f"the cases table has the columns {list(cases.columns)}; expected `case` (or `group`) "
            f"and {column!r}."
        )
    values = cases.astype({key: str}).drop_duplicates(key).set_index(key)[column]
    missing = sorted(set(table[key].astype(str)) - set(values.index))
    if missing:
        raise HinterlandError(
            f"the cases table has no row for {len(missing)} cases: {', '.join(missing[:5])}."
            " Add the rows."
        )
    return table.assign(subgroup=table[key].astype(str).map(values))


def summarise_subgroups(
    table: pd.DataFrame, metrics: Sequence[str] | None = None, *, seed: int = 0
) -> pd.DataFrame:
    """Compute mean and bootstrap interval per subgroup, method, coarsening, class and metric.

    Cases without a subgroup are left out.

    Args:
        table: with the column `subgroup` (see `with_subgroup`, or map `worst_best`).
        metrics: columns to average; default, all that a comparison shows.
        seed: of the bootstrap.

    Returns:
        A table with the columns of the keys, metric, mean, low, high, cases, patients.
    """
    names = list(metrics or metric_columns(table, Shown.COMPARED))
    keys = ["subgroup", *(k for k in ("method", "coarsening", "class") if k in table.columns)]
    rows = []
    for key, part in table.dropna(subset=["subgroup"]).groupby(keys, sort=False, dropna=False):
        cases = part.groupby("case", sort=False)
        group = cases["group"].first() if "group" in part.columns else None
        for metric in names:
            values = cases[metric].mean()
            patients = None if group is None else group[values.index].to_numpy(str)
            interval = bootstrap_ci(values.to_numpy(float), patients, seed=seed)
            rows.append(
                dict(zip(keys, key, strict=True))
                | {"metric": metric, "mean": interval.mean, "low": interval.low}
                | {"high": interval.high, "cases": int(np.isfinite(values).sum())}
                | {"patients": interval.n}
            )
    return pd.DataFrame(rows)
