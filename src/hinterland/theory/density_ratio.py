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
_CLIP = 7.0  # largest log odds that is believed; bounds the weight of a single sample


@dataclass(frozen=True)
class RatioSums:
    """What the bound needs of each group: columns sum_P w T, sum_P w, sum_Q w exp T, sum_Q w.

    groups: (groups,) their names. sums: (groups, 4).
    """

    groups: np.ndarray
    sums: Floats

    def bound(self, weights: Floats | None = None) -> Floats:
        """The lower bound on KL in nats, at least 0. weights (resamples, groups): how often each
        group counts; default once. NaN where P or Q has no mass."""
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
    """Train classifiers of P against Q with gradient boosting, each group scored by one that has
    not seen it.

    features: (samples, features). p_weights, q_weights: (samples,) weight of each sample as one
    from P and as one from Q; a sample may count for both. groups: (samples,).
    Raises HinterlandError with fewer than two groups.
    """
    names, index = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    if len(names) < 2:
        raise HinterlandError(
            "a divergence is estimated across patients (or images): expected at least 2, got "
            f"{len(names)}."
        )
    rng = np.random.default_rng(seed)
    fold_of = np.empty(len(names), dtype=int)
    fold_of[rng.permutation(len(names))] = np.arange(len(names)) % min(folds, len(names))
    odds = np.zeros(len(features))
    for fold in np.unique(fold_of):
        held_out = fold_of[index] == fold
        odds[held_out] = _log_odds(
            features[~held_out],
            p_weights[~held_out],
            q_weights[~held_out],
            features[held_out],
            seed,
        )
    columns = (p_weights * odds, p_weights, q_weights * np.exp(odds), q_weights)
    sums = np.stack([np.bincount(index, c, len(names)).astype(float) for c in columns], axis=1)
    return RatioSums(names.astype(str), sums)


def _log_odds(features: Floats, p: Floats, q: Floats, unseen: Floats, seed: int) -> Floats:
    """log dP/dQ at unseen samples; P and Q have equal total weight in training."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    if not p.sum() or not q.sum():
        return np.zeros(len(unseen))
    stacked = np.concatenate([features[p > 0], features[q > 0]])
    truth = np.repeat([1, 0], [(p > 0).sum(), (q > 0).sum()])
    weights = np.concatenate([p[p > 0] / p.sum(), q[q > 0] / q.sum()]) * len(truth) / 2
    model = HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=15, learning_rate=0.1, min_samples_leaf=20,
        early_stopping=False, random_state=seed,
    )  # fmt: skip
    model.fit(stacked, truth, sample_weight=weights)
    return np.clip(model.decision_function(unseen), -_CLIP, _CLIP)
