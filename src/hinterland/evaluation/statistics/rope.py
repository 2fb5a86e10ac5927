"""The Bayesian signed-rank test with a region of practical equivalence (Benavoli et al.)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

SAMPLES = 10_000
_PRIOR = 0.5  # weight of the prior's one observation
_CHUNK = 1 << 22  # weights held at once; bounds the memory


@dataclass(frozen=True)
class Posterior:
    """Probabilities that a method is lower than another, practically equal, or higher."""

    lower: float
    equal: float
    higher: float


def bayesian_signed_rank(
    differences: Sequence[float] | np.ndarray,
    rope: float,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Posterior:
    """Compute how probable it is that a difference is below -r, within [-r, r], or above r.

    The Wilcoxon test asks whether a difference can be excluded to be zero, which many patients
    always do; this one asks whether it matters. With the differences z_1 ... z_n, a prior
    observation z_0 = 0 and w drawn from a Dirichlet distribution with the parameters
    (1/2, 1, ..., 1), the Walsh averages have the masses

        theta_higher = sum_ij w_i w_j [(z_i + z_j) / 2 > r],    theta_lower, theta_equal likewise;

    the probabilities are how often each of the three is the largest (Benavoli, Corani, Demsar,
    Zaffalon: "Time for a change", JMLR 18, 2017).

    Args:
        differences: one per patient, other minus baseline; those that are not finite are left out.
        rope: r, the largest difference that makes no difference in practice.
        samples: draws of the weights.
        seed: of the draws.

    Returns:
        Three probabilities with the sum 1; NaN without a difference.

    Example:
        >>> found = bayesian_signed_rank([0.05, 0.06, 0.04, 0.07, 0.05, 0.06], rope=0.01)
        >>> found.higher > 0.9
        True
    """
    values = np.asarray(differences, dtype=float).ravel()
    values = values[np.isfinite(values)]
    if not values.size:
        return Posterior(nan, nan, nan)
    z = np.sort(np.append(values, 0.0))
    concentration = np.where(np.arange(len(z)) == np.searchsorted(z, 0.0), _PRIOR, 1.0)
    # for each i, where j begins to be above r and where it ceases to be below -r, z sorted
    above = np.searchsorted(z, 2 * rope - z, side="right")
    below = np.searchsorted(z, -2 * rope - z, side="left")
    rng = np.random.default_rng(seed)
    wins = np.zeros(3)
    step = max(1, _CHUNK // len(z))
    for start in range(0, samples, step):
        weights = rng.dirichlet(concentration, size=min(step, samples - start))
        summed = np.concatenate([np.zeros((len(weights), 1)), weights.cumsum(axis=1)], axis=1)
        higher = (weights * (summed[:, -1:] - summed[:, above])).sum(axis=1)
        lower = (weights * summed[:, below]).sum(axis=1)
        masses = np.stack([lower, 1 - lower - higher, higher], axis=1)
        wins += np.bincount(masses.argmax(axis=1), minlength=3)
    lower, equal, higher = (wins / samples).tolist()
    return Posterior(lower, equal, higher)
