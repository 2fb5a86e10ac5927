"""Bootstrap intervals of means, resampling cases or, where they are known, patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np

from hinterland.types import HinterlandError

RESAMPLES = 10_000
_CHUNK = 1 << 22  # resampling weights held at once; bounds the memory


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval over `n` independent units (cases or patients)."""

    mean: float
    low: float
    high: float
    n: int


def by_group(
    values: np.ndarray, groups: Sequence[Any] | np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return sums and counts of the finite values of each group, (groups, columns) each.

    Args:
        values: (cases, columns); NaN and infinity are left out.
        groups: the group of each case; default, every case is its own.

    Raises:
        HinterlandError: groups and values differ in number.
    """
    finite = np.isfinite(values)
    sums, counts = np.where(finite, values, 0.0), finite.astype(float)
    if groups is None:
        return sums, counts
    if len(groups) != len(values):
        raise HinterlandError(
            f"{len(groups)} patients were named for {len(values)} cases."
            " Name one patient for each case."
        )
    _, index = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    size = int(index.max()) + 1 if len(index) else 0
    result = np.zeros((2, size, values.shape[1]))
    np.add.at(result[0], index, sums)
    np.add.at(result[1], index, counts)
    return result[0], result[1]


def bootstrap_means(
    values: np.ndarray,
    groups: Sequence[Any] | np.ndarray | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> np.ndarray:
    """Draw means of resampled studies, (resamples, columns); NaN where a resample has no value.

    All columns share the resamples, so that differences between columns stay paired.

    Args:
        values: (cases, columns).
        groups: the group of each case; groups are drawn with all their cases.
        resamples: how many studies are drawn.
        seed: of the draws.

    Returns:
        The means.
    """
    sums, counts = by_group(np.asarray(values, dtype=float), groups)
    n = len(sums)
    if n == 0:
        return np.full((resamples, values.shape[1]), nan)
    rng = np.random.default_rng(seed)
    means = np.empty((resamples, sums.shape[1]))
    step = max(1, _CHUNK // n)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = rng.integers(0, n, size=(size, n)) + n * np.arange(size)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(float)
        with np.errstate(invalid="ignore", divide="ignore"):
            means[start : start + size] = (weights @ sums) / (weights @ counts)
    return means


def percentile_interval(
    distribution: np.ndarray, n: int | np.ndarray, level: float = 0.95, *, expanded: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Return both limits of each column of a bootstrap distribution (resamples, columns).

    The plain percentile interval is too short for few units: it divides by n where n - 1 is due,
    and knows no t quantile. `expanded` (Hesterberg 2015) reads the distribution at
    alpha' = Phi(sqrt(n / (n - 1)) t_(alpha/2, n-1)) instead of alpha/2, which mends both and
    makes no difference for large n.

    Args:
        distribution: (resamples, columns).
        n: independent units, one number or one per column.
        level: coverage of the interval, in 0..1.
        expanded: widen the interval for few units.

    Returns:
        Lower and upper limits, one a column.
    """
    from scipy.special import ndtr, stdtrit

    columns = distribution.shape[1]
    tail = np.full(columns, (1 - level) / 2)
    units = np.broadcast_to(np.asarray(n, dtype=float), (columns,))
    if expanded:
        known = units > 1
        few = units[known]
        tail[known] = ndtr(np.sqrt(few / (few - 1)) * stdtrit(few - 1, (1 - level) / 2))
    low, high = np.full(columns, nan), np.full(columns, nan)
    for j in range(columns):
        finite = distribution[:, j][np.isfinite(distribution[:, j])]
        if finite.size and units[j] > 1:
            low[j], high[j] = np.quantile(finite, [tail[j], 1 - tail[j]])
    return low, high


def bootstrap_ci(
    values: Sequence[float] | np.ndarray,
    groups: Sequence[Any] | np.ndarray | None = None,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    expanded: bool = True,
) -> Interval:
    """Return the mean of the finite values and its bootstrap confidence interval.

    With fewer than two units the limits are NaN.

    Args:
        values: (cases,).
        groups: the patient of each case; patients are then resampled with all their scans.
        level: coverage of the interval, in 0..1.
        resamples: how many resamples are drawn.
        seed: of the draws.
        expanded: widen the interval for few units; see `percentile_interval`.

    Returns:
        Mean and limits.

    >>> found = bootstrap_ci([0.6, 0.7, 0.7, 0.8], ["a", "b", "c", "d"])
    >>> round(found.mean, 2), round(found.low, 1), round(found.high, 1)
    (0.7, 0.6, 0.8)
    """
    column = np.asarray(values, dtype=float).reshape(-1, 1)
    sums, counts = by_group(column, groups)
    n = int((counts[:, 0] > 0).sum())
    total = float(counts.sum())
    mean = float(sums.sum()) / total if total else nan
    means = bootstrap_means(column, groups, resamples=resamples, seed=seed)
    low, high = percentile_interval(means, n, level, expanded=expanded)
    return Interval(mean, float(low[0]), float(high[0]), n)
