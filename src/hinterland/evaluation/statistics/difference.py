"""The mean paired difference of two methods, its interval and its p-value: one rule for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np

from hinterland.evaluation.statistics.bootstrap import RESAMPLES, bootstrap_ci, by_group
from hinterland.evaluation.statistics.paired_tests import wilcoxon


@dataclass(frozen=True)
class Difference:
    """Other minus baseline: the mean over cases, its 95 % interval and Wilcoxon's p over patients.

    All are NaN where there is no pair; interval and p also where there is one patient only.
    """

    mean: float
    low: float
    high: float
    p: float
    cases: int
    patients: int


def paired_difference(
    differences: Sequence[float] | np.ndarray,
    groups: Sequence[Any] | np.ndarray | None = None,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Estimate a paired difference as every table of the project does.

    The interval is a percentile bootstrap interval over patients, widened for few of them (see
    `percentile_interval`); p is of the two-sided Wilcoxon signed-rank test of patient means.

    Args:
        differences: (cases,) other minus baseline, a case's seeds averaged; NaN and infinity are
            left out.
        groups: the patient of each case; default, every case is its own.
        level: coverage of the interval, in 0..1.
        resamples: bootstrap resamples.
        seed: of the resampling.

    Returns:
        Mean, limits, p, and how many cases and patients they rest on.

    Example:
        >>> found = paired_difference([0.1, 0.3, 0.2, 0.4], ["a", "a", "b", "c"])
        >>> round(found.mean, 3), found.cases, found.patients
        (0.25, 4, 3)
    """
    values = np.asarray(differences, dtype=float)
    known = np.isfinite(values)
    values = values[known]
    if not values.size:
        return Difference(nan, nan, nan, nan, 0, 0)
    own = None if groups is None else np.asarray(groups, dtype=str)[known]
    interval = bootstrap_ci(values, own, level=level, resamples=resamples, seed=seed)
    sums, counts = by_group(values[:, None], own)
    p = wilcoxon((sums / counts)[:, 0]) if interval.n > 1 else nan
    return Difference(interval.mean, interval.low, interval.high, p, values.size, interval.n)
