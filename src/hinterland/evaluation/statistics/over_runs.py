"""Are several runs of a method better than those of another one? A t-test over runs, not cases."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import cast

import numpy as np
import pandas as pd
from scipy import stats

RUN = ["fold", "seed"]
"""What tells the runs of one method apart."""


def t_test(differences: Sequence[float] | np.ndarray) -> float:
    """Return the two-sided p of a one-sample t-test of differences against zero.

    Args:
        differences: one number a run, other minus baseline; those that are not finite are left out.

    Returns:
        p; NaN below two numbers, and where all are the same (their spread is unknown then).
    """
    values = np.asarray(differences, dtype=float)
    values = values[np.isfinite(values)]
    if len(values) < 2 or np.ptp(values) == 0:
        return nan
    return float(stats.ttest_1samp(values, 0.0).pvalue)


def run_differences(
    baseline: pd.DataFrame, other: pd.DataFrame, metrics: Sequence[str]
) -> pd.DataFrame:
    """Test a method against a baseline, run by run.

    Each run is averaged over its cases, and less the baseline's run of the same seed and fold;
    where the baseline was trained with one seed alone, less that run of the same fold (paper 2's
    one baseline and five runs: the luck of that one training is then in no interval). What varies
    is the training, not the patient.

    Args:
        baseline: rows of the baseline's runs, as `evaluate` makes them.
        other: rows of the other method's runs.
        metrics: columns to compare.

    Returns:
        One row a class and metric: `class`, `metric`, `runs` (pairs), `difference`, `low`, `high`
        (95 %, Student's t; NaN below two pairs) and `p`.
    """
    keys = ["class", "metric"]
    if len(set(baseline["seed"])) == 1:
        baseline = pd.concat([baseline.assign(seed=seed) for seed in dict.fromkeys(other["seed"])])
    pairs = (_of_runs(other, metrics, keys) - _of_runs(baseline, metrics, keys)).dropna()
    rows = []
    for key, values in pairs.groupby(level=keys, sort=False):
        mean, n = float(values.mean()), len(values)
        reach = nan
        if n > 1:
            reach = float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))
        rows.append(
            {**dict(zip(keys, cast("tuple[str, str]", key), strict=True)), "runs": n,
             "difference": mean, "low": mean - reach, "high": mean + reach,
             "p": t_test(values.to_numpy())}
        )  # fmt: skip
    columns = [*keys, "runs", "difference", "low", "high", "p"]
    return pd.DataFrame(rows, columns=columns)


def _of_runs(table: pd.DataFrame, metrics: Sequence[str], keys: list[str]) -> pd.Series:
    """Return the mean over cases of each run, by class and metric."""
    long = table.melt([*RUN, "class"], list(metrics), var_name="metric")
    return long.groupby([*keys, *RUN], sort=False)["value"].mean()
