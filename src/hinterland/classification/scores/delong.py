"""Test whether two classifiers differ in AUROC on the same cases (DeLong et al. 1988)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, rankdata

from hinterland.types import HinterlandError


@dataclass(frozen=True)
class AurocDifference:
    """The AUROC of two classifiers, their difference (second less first) and what is known of it.

    Attributes:
        low: 95 % interval of the difference.
        high: 95 % interval of the difference.
        p: two-sided. All by DeLong's variance.
    """

    first: float
    second: float
    difference: float
    error: float
    low: float
    high: float
    p: float


def delong(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> AurocDifference:
    """Compare the AUROC of two classifiers on the same cases.

    With the kernel psi(x, y) = 1[x > y] + 1[x = y] / 2, positives x_i (m) and negatives y_j (n),

        AUC = mean_ij psi(x_i, y_j),  V10_i = mean_j psi(x_i, y_j),  V01_j = mean_i psi(x_i, y_j)
        Var(AUC_2 - AUC_1) = Var_i(V10_i,2 - V10_i,1) / m + Var_j(V01_j,2 - V01_j,1) / n

    and (AUC_2 - AUC_1) / error is taken for normal. Midranks give V10 and V01 without all pairs.

    Args:
        labels: 0 or 1, (cases,); cases are independent (one score per patient).
        first: Scores of the first classifier, (cases,).
        second: Scores of the second classifier, (cases,).

    Returns:
        Both areas, their difference, its standard error and p.

    Raises:
        HinterlandError: Fewer than two positives or two negatives, or unequal numbers.
    """
    labels = np.asarray(labels)
    if not len(labels) == len(first) == len(second):
        raise HinterlandError(
            f"{len(labels)} labels, {len(first)} and {len(second)} scores; expected one of each "
            "per case."
        )
    positives, negatives = int((labels == 1).sum()), int((labels == 0).sum())
    if positives < 2 or negatives < 2:
        raise HinterlandError(
            f"a test of two AUROCs needs two cases of each label; got {positives} positive and "
            f"{negatives} negative ones."
        )
    areas, of_positives, of_negatives = zip(
        *(_components(labels, np.asarray(s, float)) for s in (first, second)), strict=True
    )
    difference = areas[1] - areas[0]
    variance = float(
        np.var(of_positives[1] - of_positives[0], ddof=1) / positives
        + np.var(of_negatives[1] - of_negatives[0], ddof=1) / negatives
    )
    error = float(np.sqrt(variance))
    p = float(2 * norm.sf(abs(difference) / error)) if error > 0 else float(difference == 0)
    reach = float(norm.ppf(0.975)) * error
    return AurocDifference(
        areas[0], areas[1], difference, error, difference - reach, difference + reach, p
    )


def _components(labels: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Return AUROC, V10 (positives,) and V01 (negatives,)."""
    truth = labels == 1
    m, n = int(truth.sum()), int((~truth).sum())
    ranks = rankdata(scores)
    above = (ranks[truth] - rankdata(scores[truth])) / n
    below = 1 - (ranks[~truth] - rankdata(scores[~truth])) / m
    return float(above.mean()), above, below
