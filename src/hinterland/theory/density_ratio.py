"""Kullback-Leibler divergences of samples, by a classifier that has not seen what it is asked.

For any function T (Donsker and Varadhan 1983):

    KL(P || Q) >= E_P[T] - log E_Q[exp T],      with equality at T = log dP/dQ

T is the log odds of a classifier of P against Q, trained on other groups (patients) than those it
is evaluated on: what it memorised earns nothing, and what a weak one misses makes the bound lower,
never higher (beyond the chance that the interval shows).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hinterland.types import HinterlandError

Floats = NDArray[np.float64]
_CLIP = 5.0  # largest log odds that is believed: divergences above are not told apart
_SHRINK = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class RatioSums:
    """What the bound needs of each group: columns sum_P w T, sum_P w, sum_Q w exp T, sum_Q w.

    Attributes:
        groups: (groups,) their names.
        sums: (groups, 4).
    """

    groups: np.ndarray
    sums: Floats

    def bound(self, weights: Floats | None = None) -> Floats:
        """Compute the lower bound on KL in nats, at least 0.

        weights (resamples, groups): how often each group counts; default once. NaN where P or Q
        has no mass.
        """
        counts = np.ones((1, len(self.sums))) if weights is None else np.atleast_2d(weights)
        value, p, lifted, q = (counts @ self.sums).T
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.maximum(value / p - np.log(lifted / q), 0.0)


def cross_fitted_ratio(
    features: Floats,
    p_weights: Floats,
    q_weights: Floats,
    groups: Sequence[str] | np.ndarray,
    *,
    folds: int = 4,
    seed: int = 0,
) -> RatioSums:
    """Train classifiers of P against Q with gradient boosting.

    Each group is scored by a classifier that has not seen it.

    Args:
        features: (samples, features).
        p_weights: (samples,) weight of each sample as one from P.
        q_weights: (samples,) weight of each sample as one from Q; a sample may count for both.
        groups: (samples,).
        folds: number of classifiers.
        seed: of their training.

    Returns:
        Sums from which divergences and their intervals follow.

    Raises:
        HinterlandError: there are fewer than two groups.
    """
    names, index = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    if len(names) < 2:
        raise HinterlandError(
            "a divergence is estimated across patients (or images): expected at least 2, got "
            f"{len(names)}."
        )
    fold_of = np.empty(len(names), dtype=int)
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of[order] = np.arange(len(names)) % min(folds, len(names))
    fold = fold_of[index]
    odds = np.zeros(len(features))
    for k in range(fold_of.max() + 1):
        # one further fold of the training groups tells how far the classifier may be believed
        tuning = fold == (k + 1) % (fold_of.max() + 1)
        training = (fold != k) & (~tuning if fold_of.max() > 1 else True)
        odds[fold == k] = _log_odds(
            features, p_weights, q_weights, training, tuning, fold == k, seed
        )
    columns = _columns(odds, p_weights, q_weights)
    sums = np.stack([np.bincount(index, c, len(names)).astype(float) for c in columns], axis=1)
    return RatioSums(names.astype(str), sums)


def _columns(odds: Floats, p: Floats, q: Floats) -> tuple[Floats, ...]:
    return p * odds, p, q * np.exp(odds), q


def _log_odds(
    features: Floats,
    p: Floats,
    q: Floats,
    training: np.ndarray,
    tuning: np.ndarray,
    unseen: np.ndarray,
    seed: int,
) -> Floats:
    """Estimate log dP/dQ at unseen samples.

    It is shrunk by the factor that is best on the tuning samples.
    P and Q have equal total weight in training. Classifiers are too sure of themselves, and a bound
    with an exponential pays dearly for it; any function of the features gives a bound.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    one, other = training & (p > 0), training & (q > 0)
    if not one.any() or not other.any():
        return np.zeros(int(unseen.sum()))
    truth = np.repeat([1, 0], [one.sum(), other.sum()])
    weights = np.concatenate([p[one] / p[one].sum(), q[other] / q[other].sum()])
    model = HistGradientBoostingClassifier(
        max_iter=40, max_leaf_nodes=8, learning_rate=0.15, min_samples_leaf=20,
        early_stopping=False, random_state=seed,
    )  # fmt: skip
    model.fit(
        np.concatenate([features[one], features[other]]),
        truth,
        sample_weight=weights * len(truth) / 2,
    )
    known = np.clip(model.decision_function(features[tuning]), -_CLIP, _CLIP)
    bounds = [
        RatioSums(
            np.array(["tuning"]),
            np.array([[c.sum() for c in _columns(a * known, p[tuning], q[tuning])]]),
        ).bound()[0]
        for a in _SHRINK
    ]
    best = _SHRINK[int(np.argmax(np.nan_to_num(bounds)))]
    return best * np.clip(model.decision_function(features[unseen]), -_CLIP, _CLIP)
