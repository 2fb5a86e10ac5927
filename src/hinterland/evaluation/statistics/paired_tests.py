"""Tests and effect sizes for two methods on the same cases.

`differences` are one number per independent unit (a case, or the mean over a patient's scans),
other minus baseline; non-finite ones are left out. Every p-value is two-sided.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

import numpy as np

RESAMPLES = 10_000
UNDERPOWERED = 20


def wilcoxon(differences: Sequence[float] | np.ndarray) -> float:
    """Return p of the Wilcoxon signed-rank test; exact where scipy can be (few pairs, no ties).

    Zero differences are dropped (Wilcoxon's own rule); 1 where nothing else is left, NaN without
    any pair.

    >>> round(wilcoxon([0.1, 0.2, 0.3, 0.4, 0.5]), 4)
    0.0625
    """
    from scipy import stats

    d = _finite(differences)
    if not d.size:
        return nan
    d = d[d != 0]
    return float(stats.wilcoxon(d).pvalue) if d.size else 1.0


def permutation_test(
    differences: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0
) -> np.ndarray:
    """Return p of the paired permutation (sign-flip) test of the mean, one per column.

    All 2^n sign patterns are enumerated where there are at most `resamples` of them; otherwise
    `resamples` random ones are drawn and p = (1 + hits) / (1 + resamples), which never is 0.

    Args:
        differences: (units,) or (units, columns).
        resamples: the most sign patterns that are looked at.
        seed: of the random ones.

    Returns:
        p, between 0 and 1; NaN without a unit.

    >>> [round(p, 4) for p in permutation_test(np.array([0.1, 0.2, 0.3, 0.4, 0.5])).tolist()]
    [0.0625]
    """
    d = np.asarray(differences, dtype=float)
    d = d.reshape(len(d), -1)
    present = np.isfinite(d)
    d = np.where(present, d, 0.0)
    n = len(d)
    if n == 0:
        return np.full(d.shape[1], nan)
    exact = n < 60 and 2**n <= resamples
    observed = np.abs(d.sum(axis=0))
    limit = observed - 1e-9 * (np.abs(d).sum(axis=0) + 1e-300)  # equal up to rounding counts
    hits = np.zeros(d.shape[1])
    total = 2**n if exact else resamples
    rng = np.random.default_rng(seed)
    step = max(1, (1 << 22) // n)
    for start in range(0, total, step):
        size = min(step, total - start)
        if exact:
            patterns = np.arange(start, start + size)[:, None] >> np.arange(n) & 1
        else:
            patterns = rng.integers(0, 2, size=(size, n))
        signs = 1.0 - 2.0 * patterns
        hits += (np.abs(signs @ d) >= limit).sum(axis=0)
    p = hits / total if exact else (hits + 1) / (total + 1)
    return np.where(present.any(axis=0), p, nan)


def t_test(differences: Sequence[float] | np.ndarray) -> float:
    """Return p of the paired t-test; 1 where all differences are 0, NaN below two pairs."""
    return one_sample_t(differences, 0.0)


def one_sample_t(values: Sequence[float] | np.ndarray, expected: float) -> float:
    """Return p of the one-sample t-test, e.g. of several seeds against a baseline's mean."""
    from scipy import stats

    v = _finite(values)
    if v.size < 2:
        return nan
    if np.ptp(v) == 0:
        return 1.0 if v[0] == expected else 0.0
    return float(stats.ttest_1samp(v, expected).pvalue)


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjust p-values by Holm's step-down rule, in the order given; NaN stays and is not counted.

    p_(i) becomes max_{j <= i} min(1, (m - j + 1) p_(j)), p sorted.

    >>> [round(p, 4) for p in holm([0.01, 0.04, 0.03]).tolist()]
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    result = np.full(p.shape, nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    result[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return result


def rank_biserial(differences: Sequence[float] | np.ndarray) -> float:
    """Return the matched-pairs rank-biserial correlation (R+ - R-) / (R+ + R-), in -1..1.

    R+ and R- are the sums of the ranks of |d| over positive and negative differences; zeros are
    dropped. 1: the other method is larger on every pair. 0 where all differences are 0.

    >>> round(rank_biserial([0.1, 0.2, -0.3, 0.4]), 4)
    0.4
    """
    from scipy import stats

    d = _finite(differences)
    if not d.size:
        return nan
    d = d[d != 0]
    if not d.size:
        return 0.0
    ranks = stats.rankdata(np.abs(d))
    return float((ranks * np.sign(d)).sum() / ranks.sum())


def cliffs_delta(
    other: Sequence[float] | np.ndarray, baseline: Sequence[float] | np.ndarray
) -> float:
    """Return Cliff's delta, P(other > baseline) - P(other < baseline) over all pairs, in -1..1.

    >>> round(cliffs_delta([0.7, 0.9], [0.6, 0.8]), 4)
    0.5
    """
    x, y = _finite(other), np.sort(_finite(baseline))
    if not x.size or not y.size:
        return nan
    below = np.searchsorted(y, x, side="left").sum()
    above = (y.size - np.searchsorted(y, x, side="right")).sum()
    return float((below - above) / (x.size * y.size))


def smallest_p(pairs: int) -> float:
    """Return the smallest two-sided p that a signed-rank or sign-flip test of n pairs can reach.

    It is 2 / 2^n (5 pairs: .0625).

    >>> round(smallest_p(5), 4)
    0.0625
    """
    return min(1.0, 2.0 ** (1 - pairs)) if pairs else nan


def underpowered(units: int) -> bool:
    """Say whether there are too few patients for a paired test to mean much."""
    return units < UNDERPOWERED


def _finite(values: Sequence[float] | np.ndarray) -> np.ndarray:
    array = np.asarray(values, dtype=float).ravel()
    return array[np.isfinite(array)]
