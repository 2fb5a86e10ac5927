"""Image-level metrics: does the image hold the class, yes or no.

A threshold can only come out of `YoudenThreshold.fit`, from validation cases by name, and
`image_metrics` refuses to apply it to a case it was fitted on: a threshold chosen on the test set
is not expressible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import nan

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

from hinterland.classification.scores.resampling import (
    resample_weights,
    weighted_auprc,
    weighted_auroc,
    weighted_share,
)
from hinterland.evaluation.statistics.bootstrap import percentile_interval
from hinterland.types import HinterlandError

RATES = ("balanced_accuracy", "recall", "precision", "specificity")
IMAGE_METRICS = ("auroc", "auprc", *RATES, "strict_recall")


@dataclass(frozen=True)
class ImageScores:
    """Scores (cases,) and true labels (cases,) of one class; higher scores mean "present".

    Attributes:
        located: where given (cases,), whether the right region was found, for strict recall; NaN
            where that is not known, such as a positive without a reference mask.
    """

    cases: tuple[str, ...]
    scores: np.ndarray
    labels: np.ndarray
    located: np.ndarray | None = None

    def __post_init__(self) -> None:
        sizes = {len(self.cases), len(self.scores), len(self.labels)}
        sizes |= set() if self.located is None else {len(self.located)}
        if len(sizes) > 1 or not self.cases:
            raise HinterlandError(
                f"{len(self.cases)} cases, {len(self.scores)} scores and {len(self.labels)} "
                "labels; expected one of each per case."
            )
        if not np.isfinite(self.scores).all():
            bad = self.cases[int(np.flatnonzero(~np.isfinite(self.scores))[0])]
            raise HinterlandError(
                f"the score of the case {bad!r} is not a finite number."
                " Train again, with a smaller learning rate (--set optimiser.lr=...)."
            )
        if not np.isin(self.labels, (0, 1)).all():
            raise HinterlandError("image labels must be 0 or 1; leave out unknown ones.")


@dataclass(frozen=True)
class YoudenThreshold:
    """A decision threshold (`score >= value` means present) and the cases it was fitted on."""

    value: float
    cases: frozenset[str] = field(repr=False)

    @classmethod
    def fit(cls, validation: ImageScores) -> YoudenThreshold:
        """Find the score that maximises Youden's J = recall + specificity - 1 on validation cases.

        The cut lies half-way between the best score and the next lower one.

        Raises:
            HinterlandError: the validation cases are all of one label.
        """
        positive = _sorted(validation, 1)
        negative = _sorted(validation, 0)
        if not positive.size or not negative.size:
            raise HinterlandError(
                "the Youden threshold needs validation cases of both labels; got "
                f"{positive.size} positive and {negative.size} negative ones."
            )
        cuts = np.unique(validation.scores)
        recall = 1 - np.searchsorted(positive, cuts, side="left") / positive.size
        specificity = np.searchsorted(negative, cuts, side="left") / negative.size
        best = int(np.argmax(recall + specificity))
        below = cuts[best - 1] if best else cuts[best]
        return cls(float((cuts[best] + below) / 2), frozenset(validation.cases))


def _sorted(scores: ImageScores, label: int) -> np.ndarray:
    return np.sort(scores.scores[scores.labels == label])


def auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Compute the area under the ROC curve, P(positive above negative) + P(equal) / 2.

    Args:
        labels: 0 or 1, (cases,).
        scores: Higher means "present", (cases,).

    Returns:
        The area; NaN where only one label occurs.

    >>> round(auroc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])), 6)
    0.75
    """
    labels = np.asarray(labels)
    if not ((labels == 1).any() and (labels == 0).any()):
        return nan
    return float(roc_auc_score(labels, scores))


def auprc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Compute the average precision, sum_i (recall_i - recall_(i-1)) precision_i.

    Arguments are those of `auroc`; NaN without a positive.
    """
    labels = np.asarray(labels)
    if not (labels == 1).any():
        return nan
    return float(average_precision_score(labels, scores))


def image_metrics(test: ImageScores, threshold: YoudenThreshold) -> dict[str, float]:
    """Compute AUROC, AUPRC and the rates at the threshold.

    Rates: balanced accuracy, recall, precision, specificity and (where `located` is known)
    `strict_recall`, the share of positive images called positive *and* located rightly.
    A rate whose denominator is empty is NaN.

    Raises:
        HinterlandError: a test case took part in fitting the threshold.
    """
    shared = sorted(set(test.cases) & threshold.cases)
    if shared:
        raise HinterlandError(
            f"{len(shared)} test cases were used to fit the threshold ({', '.join(shared[:3])}); "
            "fit it on validation cases only."
        )
    truth, called = test.labels == 1, test.scores >= threshold.value
    recall = _share(called[truth])
    specificity = _share(~called[~truth])
    result = {
        "auroc": auroc(test.labels, test.scores),
        "auprc": auprc(test.labels, test.scores),
        "balanced_accuracy": (recall + specificity) / 2,
        "recall": recall,
        "precision": _share(truth[called]),
        "specificity": specificity,
    }
    if test.located is not None:
        right, known = located_known(test.located)
        result["strict_recall"] = _share((called & right)[truth & known])
    return result


def image_level_table(
    test: ImageScores,
    threshold: YoudenThreshold,
    *,
    groups: Sequence[str] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Tabulate `image_metrics` with bootstrap intervals.

    Cases (patients, where `groups` are given) are resampled; resamples with only one label count
    for no metric that needs both.

    Args:
        test: scores and labels of the test cases.
        threshold: fitted on validation cases.
        groups: the patient of each case; default, every case is its own.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        A table with the columns metric, value, low, high, cases, positives.
    """
    values = image_metrics(test, threshold)
    weights, count = resample_weights(test.cases, groups, resamples, seed)
    draws = _resampled(test, threshold, weights)
    low, high = percentile_interval(draws, count, expanded=False)
    return pd.DataFrame(
        {
            "metric": list(values),
            "value": list(values.values()),
            "low": low,
            "high": high,
            "cases": len(test.cases),
            "positives": int((test.labels == 1).sum()),
        }
    )


def _resampled(test: ImageScores, threshold: YoudenThreshold, weights: np.ndarray) -> np.ndarray:
    """Return `image_metrics` of each row of weights, (samples, metrics), in the same order."""
    truth, called = test.labels == 1, test.scores >= threshold.value
    recall = weighted_share(called, truth, weights)
    specificity = weighted_share(~called, ~truth, weights)
    columns = [
        weighted_auroc(test.labels, test.scores, weights),
        weighted_auprc(test.labels, test.scores, weights),
        (recall + specificity) / 2,
        recall,
        weighted_share(truth, called, weights),
        specificity,
    ]
    if test.located is not None:
        right, known = located_known(test.located)
        columns.append(weighted_share(called & right, truth & known, weights))
    return np.stack(columns, axis=1)


def located_known(located: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split `ImageScores.located` into whether a region was found and whether that is known."""
    values = np.asarray(located, float)
    return values == 1, np.isfinite(values)


def _share(hits: np.ndarray) -> float:
    return float(hits.mean()) if hits.size else nan
