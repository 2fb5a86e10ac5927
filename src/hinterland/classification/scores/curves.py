"""ROC curves with bootstrap bands, and reliability by bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import beta
from sklearn.metrics import roc_curve

from hinterland.classification.scores.resampling import by_score

GRID = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Roc:
    """A ROC curve with a pointwise 95 % band.

    Attributes:
        false_positive: the curve's corners.
        recall: the curve's corners.
        low: the band of recall at `GRID`.
        high: the band of recall at `GRID`.
        at: the (false positive rate, recall) of the operating point.
    """

    false_positive: np.ndarray
    recall: np.ndarray
    low: np.ndarray
    high: np.ndarray
    at: tuple[float, float]


def roc_band(labels: np.ndarray, scores: np.ndarray, threshold: float, weights: np.ndarray) -> Roc:
    """Compute a ROC curve and its band.

    Args:
        labels: 0 or 1, (n,); both occur.
        scores: Higher means "present", (n,).
        threshold: Of the operating point.
        weights: Bootstrap samples (samples, n), see `resample_weights`; samples with only one label
            are left out.

    Returns:
        The curve, and a band at each point.
    """
    false_positive, recall, _ = roc_curve(labels, scores)
    positive, negative = (
        part[:, ::-1].cumsum(axis=1) for part in by_score(labels, scores, weights)
    )
    kept = (positive[:, -1] > 0) & (negative[:, -1] > 0)
    curves = np.stack(
        [
            np.interp(GRID, np.append(0.0, n / n[-1]), np.append(0.0, p / p[-1]))
            for p, n in zip(positive[kept], negative[kept], strict=True)
        ]
    )
    low, high = np.quantile(curves, (0.025, 0.975), axis=0)
    called, truth = scores >= threshold, labels == 1
    at = float(called[~truth].mean()), float(called[truth].mean())
    return Roc(false_positive, recall, low, high, at)


@dataclass(frozen=True)
class ReliabilityBin:
    """Cases whose probability lies in one bin: their mean probability and share of positives.

    Attributes:
        low: 95 % Clopper-Pearson interval of the share.
        high: 95 % Clopper-Pearson interval of the share.
    """

    probability: float
    share: float
    low: float
    high: float
    count: int


def reliability(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = 10
) -> list[ReliabilityBin]:
    """Compare probabilities with shares of positives, in bins of equal width that hold a case.

    Args:
        probabilities: (cases,).
        labels: 0 or 1, (cases,).
        bins: how many.

    Returns:
        One entry a bin, in order, with the exact 95 % interval of the share.

    >>> [round(100 * b.share) for b in reliability(np.array([0.1, 0.9, 0.95]), np.array([0, 1, 1]))]
    [0, 100]
    """
    bin_of = np.minimum((np.asarray(probabilities) * bins).astype(int), bins - 1)
    found = []
    for number in np.unique(bin_of):
        inside = bin_of == number
        n, k = int(inside.sum()), int(np.asarray(labels)[inside].sum())
        low = float(beta.ppf(0.025, k, n - k + 1)) if k else 0.0
        high = float(beta.ppf(0.975, k + 1, n - k)) if k < n else 1.0
        found.append(ReliabilityBin(float(probabilities[inside].mean()), k / n, low, high, n))
    return found
