"""CVBM's statements about entropy (paper 3, appendix B): as printed, and as they hold.

mu is the foreground probability of a voxel, q its background probability, H the binary entropy in
nats. Architecture A has two foreground decoders, H_A = H(mu) + H(mu_2); architecture B a foreground
and a background decoder, H_B = H(mu) + H(q). Arrays broadcast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

Numbers = float | np.floating | NDArray[np.floating]
Floats = NDArray[np.float64] | np.float64
Flags = NDArray[np.bool_] | np.bool_


def binary_entropy(p: Numbers) -> Floats:
    """Return H(p) = -p log p - (1 - p) log(1 - p), with H(0) = H(1) = 0."""
    p = np.asarray(p, dtype=float)
    return np.asarray(-xlogy(p, p) - xlogy(1 - p, 1 - p))


def printed_bound(mu: Numbers, epsilon: Numbers, architecture: str) -> Floats:
    """Compute the printed bounds of Lemma 1 (A) and Lemma 2 (B).

    H_A >= 2 H(mu) - s log s and H_B <= 2 H(mu) + s log s, with s = sqrt(epsilon) the largest
    deviation.

    Neither holds. For s < 1 the term s log s is negative, so both exclude the point without any
    deviation, mu_2 = mu or q = 1 - mu, where the entropy is 2 H(mu) in either architecture.

    Args:
        mu: the foreground's probability.
        epsilon: the squared deviation.
        architecture: "A" or "B".

    Returns:
        The bound, in nats.
    """
    s = np.sqrt(np.asarray(epsilon, dtype=float))
    sign = -1.0 if architecture == "A" else 1.0
    return np.asarray(2 * binary_entropy(mu) + sign * xlogy(s, s))


def entropy_interval(mu: Numbers, epsilon: Numbers) -> tuple[Floats, Floats]:
    """Compute the bounds that hold instead, for both architectures.

    |H_A - 2 H(mu)| <= H(s) and |H_B - 2 H(mu)| <= H(s): H is concave with H(0) = H(1) = 0, so
    |H(x) - H(y)| <= H(|x - y|); and H(q) = H(1 - q). Hence
    |H_B - H_A| <= H(s_1) + H(s_2), which goes to 0 with both epsilons: there is no constant C > 0
    with H_B <= H_A - C, and Theorem 1 is false.
    """
    s = np.minimum(np.sqrt(np.asarray(epsilon, dtype=float)), 0.5)
    middle, reach = 2 * binary_entropy(mu), binary_entropy(s)
    return np.maximum(middle - reach, 0), middle + reach


@dataclass(frozen=True)
class Conditions:
    """The conditions of Theorem 2 on (mu, q, task gradient), elementwise.

    Attributes:
        agree: sign(dL_task/dmu) = sign(mu + q - 1) (eq. 33).
        surer: |q - 0.5| > |mu - 0.5| (eq. 34).
        opposite: (q - 0.5)(mu - 0.5) < 0, used by the proof and missing from the statement.
    """

    agree: Flags
    surer: Flags
    opposite: Flags

    @property
    def printed(self) -> Flags:
        """The two conditions of the paper."""
        return self.agree & self.surer

    @property
    def corrected(self) -> Flags:
        """All three: the entropy of the foreground prediction falls."""
        return self.printed & self.opposite


def conditions(mu: Numbers, q: Numbers, gradient: Numbers) -> Conditions:
    """Tell which conditions hold.

    Args:
        mu: the foreground branch's probability.
        q: the background branch's.
        gradient: dL_task/dmu.

    Returns:
        A truth value for each condition and point.
    """
    mu, q, gradient = (np.asarray(x, dtype=float) for x in (mu, q, gradient))
    return Conditions(
        agree=np.asarray(np.sign(gradient) == np.sign(mu + q - 1)),
        surer=np.asarray(np.abs(q - 0.5) > np.abs(mu - 0.5)),
        opposite=np.asarray((q - 0.5) * (mu - 0.5) < 0),
    )


def descend(mu: Numbers, q: Numbers, gradient: Numbers, rate: Numbers) -> Floats:
    """Take one step of gradient descent on L_task + (mu + q - 1)^2 inside [0, 1] (eqs. 30, 32).

    Args:
        mu: the foreground branch's probability.
        q: the background branch's.
        gradient: dL_task/dmu.
        rate: of the step.

    Returns:
        mu after the step.
    """
    mu, q, gradient, rate = (np.asarray(x, dtype=float) for x in (mu, q, gradient, rate))
    return np.clip(mu - rate * (gradient + 2 * (mu + q - 1)), 0.0, 1.0)
