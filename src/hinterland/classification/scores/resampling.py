"""Compute image-level metrics on many weighted samples at once, for the bootstrap.

A resample of n cases is a row of n weights (how often each case was drawn), so that a thousand
resamples are a few matrix products instead of a thousand calls. scikit-learn computes the same
numbers one sample at a time (tests hold these functions against it).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hinterland.evaluation.statistics.bootstrap import RESAMPLES


def resample_weights(
    cases: Sequence[str], groups: Sequence[str] | None, resamples: int, seed: int
) -> tuple[np.ndarray, int]:
    """Draw bootstrap samples of whole groups (patients), or of cases where no groups are given.

    Args:
        cases: Names of the n cases.
        groups: Patient of each case.
        resamples: Number of samples.
        seed: Of the random generator.

    Returns:
        Weights float64 (resamples, n), and the number of independent units.
    """
    names, index = np.unique(np.asarray(cases if groups is None else groups), return_inverse=True)
    rng = np.random.default_rng(seed)
    count = min(resamples, RESAMPLES)
    drawn = rng.integers(0, len(names), (count, len(names)))
    offsets = len(names) * np.arange(count)[:, None]
    times = np.bincount((drawn + offsets).ravel(), minlength=count * len(names))
    return times.reshape(count, len(names))[:, index].astype(float), len(names)


def weighted_auroc(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute P(score of a positive > that of a negative) + P(equal) / 2 for each row of weights.

    Args:
        labels: 0 or 1, (n,).
        scores: Higher means "present", (n,).
        weights: Not negative, (samples, n).

    Returns:
        Area under the ROC curve (samples,); NaN where a sample holds only one label.
    """
    positive, negative = by_score(labels, scores, weights)
    below = negative.cumsum(axis=1) - negative
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    return _ratio((positive * (below + negative / 2)).sum(axis=1), pairs)


def weighted_auprc(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute the average precision, sum_i (recall_i - recall_(i-1)) precision_i, for each row.

    NaN where a sample holds no positive.

    Args:
        labels: 0 or 1, (n,).
        scores: higher means "present", (n,).
        weights: (samples, n), how often a sample holds each case.

    Returns:
        (samples,).
    """
    positive, negative = (part[:, ::-1] for part in by_score(labels, scores, weights))
    hits = positive.cumsum(axis=1)
    precision = _ratio(hits, hits + negative.cumsum(axis=1))
    total = np.where(positive > 0, positive * precision, 0.0).sum(axis=1)
    return _ratio(total, hits[:, -1])


def weighted_share(hits: np.ndarray, among: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute the share of hits for each row of weights.

    Args:
        hits: bool, (n,).
        among: bool, (n,), the cases that count.
        weights: (samples, n), how often a sample holds each case.

    Returns:
        (samples,); NaN where nothing counts.
    """
    return _ratio(weights @ (hits & among).astype(float), weights @ among.astype(float))


def weighted_brier(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Compute the mean squared difference of probability and label for each row of weights.

    Args:
        labels: 0 or 1, (n,).
        probabilities: (n,).
        weights: (samples, n), how often a sample holds each case.

    Returns:
        (samples,).
    """
    return _ratio(weights @ (probabilities - labels) ** 2, weights.sum(axis=1))


def weighted_calibration_error(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray, bins: int = 10
) -> np.ndarray:
    """Compute the expected calibration error (see `calibration_error`) for each row of weights.

    Args:
        labels: 0 or 1, (n,).
        probabilities: (n,).
        weights: (samples, n), how often a sample holds each case.
        bins: how many.

    Returns:
        (samples,).
    """
    bin_of = np.minimum((probabilities * bins).astype(int), bins - 1)
    gaps = np.eye(bins)[bin_of] * (labels - probabilities)[:, None]
    return _ratio(np.abs(weights @ gaps).sum(axis=1), weights.sum(axis=1))


def by_score(
    labels: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sum the weights of positives and of negatives at each distinct score, ascending.

    Args:
        labels: 0 or 1, (n,).
        scores: (n,).
        weights: (samples, n), how often a sample holds each case.

    Returns:
        Two arrays (samples, scores).
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(np.asarray(scores)[order], prepend=-np.inf))
    truth, sorted_weights = np.asarray(labels)[order] == 1, weights[:, order]
    positive = np.add.reduceat(sorted_weights * truth, starts, axis=1)
    negative = np.add.reduceat(sorted_weights * ~truth, starts, axis=1)
    return positive, negative


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(below > 0, above / below, np.nan)
