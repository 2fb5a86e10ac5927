"""The rule of paper 5 (Algorithms 1 and 2): an image is positive if enough pixels are.

With probabilities p_v of a class over the voxels v of an image, thresholds t and tau:

    y = 1[ #{v : p_v >= t} >= tau ]                                              (Algorithm 1)
    score = mean{p_v : p_v > t} if y = 1, else mean{p_v : p_v <= t}              (Algorithm 2)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hinterland.types import HinterlandError

T, TAU = 0.5, 100
EDGE = 224
"""The paper's images have EDGE x EDGE pixels; its tau counts these."""
THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(1, 20))
"""Values of t that `fit_rule` tries."""


def scaled_tau(shapes: Iterable[Sequence[int]], tau: int = TAU) -> int:
    """Scale the paper's tau, which counts pixels of 224 x 224 images, to another grid.

    Args:
        shapes: Sizes of the images, (..., y, x); their median area counts.
        tau: Pixels of a 224 x 224 image.

    Returns:
        The same share of a slice of these images in voxels, at least 1.

    >>> scaled_tau([(1, 64, 64)]), scaled_tau([(1, 224, 224)])
    (8, 100)
    """
    area = float(np.median([shape[-1] * shape[-2] for shape in shapes]))
    return max(1, round(tau * area / EDGE**2))


def binary_label(mask: np.ndarray, t: float = T, tau: int = TAU) -> int:
    """Apply Algorithm 1: 1 if at least `tau` voxels of the map `mask` are >= t, else 0.

    Args:
        mask: probabilities of any shape.
        t: from which on a voxel counts.
        tau: voxels that make an image positive.

    Returns:
        0 or 1.
    """
    return int(np.count_nonzero(np.asarray(mask) >= t) >= tau)


def class_probability(mask: np.ndarray, t: float = T, tau: int = TAU) -> float:
    """Apply Algorithm 2: the mean of the voxels > t if the label is 1, else of those <= t.

    Where there is no such voxel (all on one side of t) it is t itself, the limit of both means.

    Args:
        mask: probabilities of any shape.
        t: from which on a voxel counts.
        tau: voxels that make an image positive.

    Returns:
        The score, from 0 to 1.
    """
    return MaskCounts.of(mask, (t,)).score(t, tau)


def class_probabilities(masks: np.ndarray, t: float = T, tau: int = TAU) -> np.ndarray:
    """Apply Algorithm 2 to each channel.

    Args:
        masks: probabilities (classes, *spatial).
        t: from which on a voxel counts.
        tau: voxels that make an image positive.

    Returns:
        float64 (classes,).
    """
    return np.array([class_probability(mask, t, tau) for mask in masks])


@dataclass(frozen=True)
class MaskCounts:
    """All that the rule needs of one probability map, for some values of t.

    Attributes:
        positive: number of voxels >= t; (thresholds,).
        above: mean of the voxels > t, t where there is none; (thresholds,).
        below: mean of the voxels <= t, t where there is none; (thresholds,).
    """

    thresholds: tuple[float, ...]
    positive: np.ndarray
    above: np.ndarray
    below: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray, thresholds: Sequence[float] = THRESHOLDS) -> MaskCounts:
        """Count a probability map of any shape.

        Raises:
            HinterlandError: a value lies outside [0, 1].
        """
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


def require_validation(cases: Iterable[str], split: Mapping[str, str]) -> None:
    """Refuse cases that are not of the validation split.

    Whatever is fitted after training (thresholds, calibration) is fitted there and nowhere else.

    Raises:
        HinterlandError: one is not.
    """
    wrong = sorted(name for name in cases if split.get(name) != "val")
    if wrong:
        raise HinterlandError(
            f"{len(wrong)} cases are not validation cases ({wrong[0]!r} is of the split "
            f"{split.get(wrong[0], 'none')!r}). Thresholds and calibration are fitted on "
            "validation cases only."
            " Give only those."
        )
