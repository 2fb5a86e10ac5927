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

from hinterland.evaluation.statistics.bootstrap import RESAMPLES, percentile_interval
from hinterland.types import HinterlandError

RATES = ("balanced_accuracy", "recall", "precision", "specificity")
IMAGE_METRICS = ("auroc", "auprc", *RATES, "strict_recall")


@dataclass(frozen=True)
class ImageScores:
    """Scores (cases,) and true labels (cases,) of one class; higher scores mean "present".

    located: where given (cases,), whether the right region was found, for strict recall.
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
            raise HinterlandError(f"the score of the case {bad!r} is not a finite number.")
        if not np.isin(self.labels, (0, 1)).all():
            raise HinterlandError("image labels must be 0 or 1; leave out unknown ones.")


@dataclass(frozen=True)
class YoudenThreshold:
    """A decision threshold (`score >= value` means present) and the cases it was fitted on."""

    value: float
    cases: frozenset[str] = field(repr=False)

    @classmethod
    def fit(cls, validation: ImageScores) -> YoudenThreshold:
        """The score that maximises Youden's J = recall + specificity - 1 on validation cases.

        The cut lies half-way between the best score and the next lower one. HinterlandError where
        the validation cases are all of one label.
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
    """Area under the ROC curve, P(score of a positive > that of a negative) + P(equal) / 2; NaN
    where only one label occurs."""
    from scipy.stats import rankdata

    labels = np.asarray(labels)
    n, m = int((labels == 1).sum()), int((labels == 0).sum())
    if not n or not m:
        return nan
    return float((rankdata(scores)[labels == 1].sum() - n * (n + 1) / 2) / (n * m))


def auprc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Average precision, sum_i (recall_i - recall_(i-1)) precision_i; NaN without a positive."""
    labels = np.asarray(labels)
    if not (labels == 1).any():
        return nan
    order = np.argsort(-np.asarray(scores), kind="stable")
    hits, ranked = np.cumsum(labels[order]), np.asarray(scores)[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # ties share a threshold
    precision, recall = hits[last] / (last + 1), hits[last] / hits[-1]
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def image_metrics(test: ImageScores, threshold: YoudenThreshold) -> dict[str, float]:
    """AUROC, AUPRC and, at the threshold, balanced accuracy, recall, precision, specificity.

    `strict_recall` (where `located` is known): share of positive images called positive *and*
    located rightly. A rate whose denominator is empty is NaN. HinterlandError where a test case
    took part in fitting the threshold.
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
        result["strict_recall"] = _share((called & test.located.astype(bool))[truth])
    return result


def image_level_table(
    test: ImageScores,
    threshold: YoudenThreshold,
    *,
    groups: Sequence[str] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """`image_metrics` with bootstrap intervals: metric, value, low, high, cases, positives.

    Cases (patients, where `groups` are given) are resampled; resamples with only one label count
    for no metric that needs both.
    """
    values = image_metrics(test, threshold)
    names, index = np.unique(
        np.asarray(test.cases if groups is None else groups), return_inverse=True
    )
    members = [np.flatnonzero(index == g) for g in range(len(names))]
    rng = np.random.default_rng(seed)
    draws = np.full((min(resamples, RESAMPLES), len(values)), nan)
    for row in draws:
        drawn = np.concatenate([members[g] for g in rng.integers(0, len(names), len(names))])
        sample = ImageScores(
            tuple(test.cases[i] for i in drawn), test.scores[drawn], test.labels[drawn],
            None if test.located is None else test.located[drawn],
        )  # fmt: skip
        row[:] = list(image_metrics(sample, threshold).values())
    low, high = percentile_interval(draws, len(names), expanded=False)
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


def _share(hits: np.ndarray) -> float:
    return float(hits.mean()) if hits.size else nan
