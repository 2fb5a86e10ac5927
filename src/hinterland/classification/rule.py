"""The rule of paper 5 (Algorithms 1 and 2): an image is positive if enough pixels are.

With probabilities p_v of a class over the voxels v of an image, thresholds t and tau:

    y = 1[ #{v : p_v >= t} >= tau ]                                              (Algorithm 1)
    score = mean{p_v : p_v > t} if y = 1, else mean{p_v : p_v <= t}              (Algorithm 2)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hinterland.types import HinterlandError

T, TAU = 0.5, 100
THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(1, 20))
"""Values of t that `fit_rule` looks at."""


def binary_label(mask: np.ndarray, t: float = T, tau: int = TAU) -> int:
    """Apply Algorithm 1: 1 if at least `tau` voxels of the map `mask` are >= t, else 0."""
    return int(np.count_nonzero(np.asarray(mask) >= t) >= tau)


def class_probability(mask: np.ndarray, t: float = T, tau: int = TAU) -> float:
    """Apply Algorithm 2: the mean of the voxels > t if the label is 1, else of those <= t.

    Where there is no such voxel (all on one side of t) it is t itself, the limit of both means.
    """
    return MaskCounts.of(mask, (t,)).score(t, tau)


def class_probabilities(masks: np.ndarray, t: float = T, tau: int = TAU) -> np.ndarray:
    """Apply Algorithm 2 to each channel of (classes, *spatial); float64 (classes,)."""
    return np.array([class_probability(mask, t, tau) for mask in masks])


@dataclass(frozen=True)
class MaskCounts:
    """All that the rule needs of one probability map, for some values of t.

    positive: voxels >= t. above, below: mean of the voxels > t and <= t, t where there is none.
    Each (thresholds,).
    """

    thresholds: tuple[float, ...]
    positive: np.ndarray
    above: np.ndarray
    below: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray, thresholds: Sequence[float] = THRESHOLDS) -> MaskCounts:
        """Count a probability map of any shape. HinterlandError for values outside [0, 1]."""
        values = np.asarray(mask, np.float64).ravel()
        if not values.size or values.min() < 0 or values.max() > 1 + 1e-5:
            raise HinterlandError(
                "the rule reads a map of probabilities: expected numbers from 0 to 1."
            )
        values = np.sort(values)
        sums = np.concatenate([[0.0], np.cumsum(values)])
        cuts = np.asarray(thresholds, float)
        reach = np.searchsorted(values, cuts, side="left")  # first value >= t
        over = np.searchsorted(values, cuts, side="right")  # first value > t
        n = values.size
        above = np.where(over < n, (sums[n] - sums[over]) / np.maximum(n - over, 1), cuts)
        below = np.where(over > 0, sums[over] / np.maximum(over, 1), cuts)
        return cls(tuple(float(t) for t in thresholds), n - reach, above, below)

    def only(self, t: float) -> MaskCounts:
        """Take the counts of one threshold. ValueError for a t that was not counted."""
        at = [self.thresholds.index(t)]
        return MaskCounts((t,), self.positive[at], self.above[at], self.below[at])

    def label(self, t: float = T, tau: int = TAU) -> int:
        """Apply Algorithm 1. ValueError for a t that was not counted."""
        return int(self.positive[self.thresholds.index(t)] >= tau)

    def score(self, t: float = T, tau: int = TAU) -> float:
        """Apply Algorithm 2. ValueError for a t that was not counted."""
        at = self.thresholds.index(t)
        return float((self.above if self.positive[at] >= tau else self.below)[at])


@dataclass(frozen=True)
class Rule:
    """The two thresholds, and the validation cases they were fitted on (none: the paper's)."""

    t: float = T
    tau: int = TAU
    cases: frozenset[str] = field(default=frozenset(), repr=False)

    def __call__(self, mask: np.ndarray) -> float:
        """Score one probability map."""
        return class_probability(mask, self.t, self.tau)


def fit_rule(
    validation: Mapping[str, MaskCounts],
    labels: Mapping[str, int],
    split: Mapping[str, str],
    criterion: Callable[[np.ndarray, np.ndarray], float],
    taus: Iterable[int] | None = None,
) -> Rule:
    """Fit t and tau on validation cases.

    Of equally good pairs, the one nearest to the paper's (first t, then tau on a
    logarithmic scale).

    validation: case -> counts; labels: case -> 0 or 1; split: case -> "train", "val" or "test".
    criterion: (labels, scores) -> a number, higher is better, such as AUROC.
    taus: values of tau to look at; default, powers of two of 1 and 100, up to the largest mask.
    Raises HinterlandError where a case is not of the validation split, or they are all of one
    label.
    """
    require_validation(validation, split)
    names = sorted(validation)
    truth = np.array([labels[name] for name in names])
    if len(set(truth.tolist())) < 2:
        raise HinterlandError(
            f"t and tau need validation cases of both labels; all {len(names)} are "
            f"{'positive' if truth.size and truth[0] else 'negative'}. Keep the default rule."
        )
    largest = max(int(c.positive.max()) for c in validation.values())
    chosen = sorted(_taus(largest) if taus is None else set(taus))
    best, found = (-np.inf, -np.inf, -np.inf), Rule()
    for t in validation[names[0]].thresholds:
        for tau in chosen:
            scores = np.array([validation[name].score(t, tau) for name in names])
            key = (float(criterion(truth, scores)), -abs(t - T), -abs(np.log(tau / TAU)))
            if key > best:
                best, found = key, Rule(t, tau, frozenset(names))
    return found


def require_validation(cases: Iterable[str], split: Mapping[str, str]) -> None:
    """Raise HinterlandError unless every case is of the validation split.

    Whatever is fitted after training (thresholds, calibration) is fitted there and nowhere else.
    """
    wrong = sorted(name for name in cases if split.get(name) != "val")
    if wrong:
        raise HinterlandError(
            f"{len(wrong)} cases are not validation cases ({wrong[0]!r} is of the split "
            f"{split.get(wrong[0], 'none')!r}). Thresholds and calibration are fitted on "
            "validation cases only."
        )


def _taus(largest: int) -> set[int]:
    powers = int(np.ceil(np.log2(max(largest, 1)))) + 1
    return {2**i for i in range(powers)} | {TAU}
