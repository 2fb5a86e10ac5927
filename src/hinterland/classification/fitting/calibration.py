"""From scores to probabilities that mean what they say, fitted on validation cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import minimize
from sklearn.metrics import brier_score_loss

from hinterland.classification.fitting.rule import require_validation
from hinterland.types import HinterlandError

TINY = 1e-6


@dataclass(frozen=True)
class Calibration:
    """Platt scaling of one class's score s in [0, 1]: p = sigmoid(slope logit(s) + offset).

    The slope is positive, so that ranks (AUROC) stay as they were. `cases` took part in the fit.
    """

    slope: float = 1.0
    offset: float = 0.0
    cases: frozenset[str] = field(default=frozenset(), repr=False)

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Return the calibrated probabilities of scores, same shape."""
        return _sigmoid(self.slope * logit(scores) + self.offset)


def logit(scores: np.ndarray) -> np.ndarray:
    """Compute log(s / (1 - s)), kept finite."""
    clipped = np.clip(np.asarray(scores, float), TINY, 1 - TINY)
    return np.log(clipped) - np.log1p(-clipped)


def fit_calibration(
    scores: Mapping[str, float], labels: Mapping[str, int], split: Mapping[str, str]
) -> Calibration:
    """Fit slope and offset of least cross entropy on validation cases.

    Targets are Platt's: (n1 + 1) / (n1 + 2) and 1 / (n0 + 2) instead of 1 and 0, which keeps the
    fit finite where the scores separate the labels.

    Args:
        scores: case -> probability.
        labels: case -> 0 or 1.
        split: case -> its split.

    Returns:
        Slope and offset of the logits.

    Raises:
        HinterlandError: a case is not of the validation split, or all are of one label.
    """
    require_validation(scores, split)
    names = sorted(scores)
    truth = np.array([labels[name] for name in names])
    positive, negative = int((truth == 1).sum()), int((truth == 0).sum())
    if not positive or not negative:
        raise HinterlandError(
            f"calibration needs validation cases of both labels; got {positive} positive and "
            f"{negative} negative ones."
        )
    target = np.where(truth == 1, (positive + 1) / (positive + 2), 1 / (negative + 2))
    x = logit(np.array([scores[name] for name in names]))
    centre, spread = float(x.mean()), float(x.std()) or 1.0
    z = (x - centre) / spread

    def loss(parameters: np.ndarray) -> float:
        value = np.exp(parameters[0]) * z + parameters[1]
        return float((np.logaddexp(0, value) - target * value).mean())

    prior = float(logit(np.array(positive / len(names))))
    found = minimize(loss, np.array([0.0, prior]), bounds=[(-8.0, 5.0), (-20.0, 20.0)])
    slope = float(np.exp(found.x[0])) / spread
    return Calibration(slope, float(found.x[1]) - slope * centre, frozenset(names))


def brier(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Compute the mean squared difference of probability (cases,) and label (0 or 1)."""
    return float(brier_score_loss(np.asarray(labels, int), probabilities, pos_label=1))


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 10) -> float:
    """Compute the expected calibration error over `bins` of equal width.

    sum_b n_b / n |share of positives in b - mean probability in b|

    Args:
        probabilities: (cases,).
        labels: 0 or 1, (cases,).
        bins: how many.

    Returns:
        The error, from 0 to 1.
    """
    p, y = np.asarray(probabilities, float), np.asarray(labels, float)
    bin_of = np.minimum((p * bins).astype(int), bins - 1)
    gaps = [abs((y - p)[bin_of == b].sum()) for b in range(bins)]
    return float(sum(gaps) / len(p))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -x))
