"""What masks say more than image labels: Proposition 1 of paper 5, and without its model.

A pixel k has a value X, a label S in {0, 1}, and its image has the label y = 1 if any pixel has
S = 1. With lambda = Pr(S = 1) / Pr(y = 1), the target's share of a positive image, in nats:

    KL(P(X|S=0) || P(X|S=1)) >= 1/lambda KL(P(X|y=0) || P(X|y=1))              (Proposition 1)

Its proof needs that X depends on S only: no background pixel may know what is elsewhere in its
image. Without that, by the convexity of KL alone,

    KL(P(X|y=0) || P(X|y=1)) <= lambda KL(P(X|y=0) || P(X|S=1))
                                + (1 - lambda) KL(P(X|y=0) || P(X|S=0,y=1))    (general)

whose last term is what the background of an image tells of its label: the shortcut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr

Floats = NDArray[np.float64]


def kl_divergence(p: Floats, q: Floats) -> float:
    """Return KL(p || q) = sum p log(p / q) in nats, over the last axis.

    It is infinite where q is 0 and p not. p and q are normalised first; NaN where either has no
    mass
    (its condition never holds).
    """
    p, q = np.asarray(p, dtype=float), np.asarray(q, dtype=float)
    if p.sum() <= 0 or q.sum() <= 0:
        return float("nan")
    return max(float(rel_entr(p / p.sum(), q / q.sum()).sum()), 0.0)


@dataclass(frozen=True)
class MaskTerms:
    """The divergences of Proposition 1, in nats.

    Attributes:
        pixel: KL(P(X|S=0) || P(X|S=1)), what masks separate.
        image: KL(P(X|y=0) || P(X|y=1)), what image labels separate.
        share: lambda = Pr(S=1) / Pr(y=1).
        background: KL(P(X|y=0) || P(X|S=0,y=1)).
        target: KL(P(X|y=0) || P(X|S=1)).
    """

    pixel: float
    image: float
    share: float
    background: float
    target: float

    @property
    def scaled(self) -> float:
        """The right-hand side of Proposition 1."""
        return self.image / self.share

    @property
    def holds(self) -> bool:
        """Proposition 1, to rounding (an infinite left-hand side holds)."""
        return bool(self.pixel >= self.scaled * (1 - 1e-9) - 1e-12)

    @property
    def general(self) -> float:
        """The upper bound on `image` that holds for any X."""
        parts = ((self.share, self.target), (1 - self.share, self.background))
        return sum(weight * value for weight, value in parts if weight > 0)


def mask_terms(joint: Floats) -> MaskTerms:
    """Compute the terms of one pixel from P(y, S, X), an array (2, 2, values).

    y = 0 and S = 1 exclude each other; no further assumption. Terms whose condition never holds
    are NaN.
    """
    joint = np.asarray(joint, dtype=float)
    negative, outside, inside = joint[0, 0], joint[1, 0], joint[1, 1]
    positive = outside + inside
    return MaskTerms(
        pixel=kl_divergence(negative + outside, inside),
        image=kl_divergence(negative, positive),
        share=float(inside.sum() / positive.sum()) if positive.sum() else float("nan"),
        # an image that is all target has no background to tell anything
        background=kl_divergence(negative, outside) if outside.sum() else 0.0,
        target=kl_divergence(negative, inside),
    )


def joint_of_pixel(prior: Floats, emission: Floats, pixel: int) -> Floats:
    """Return P(y, S_k, X_k), (2, 2, values), in the paper's data generating process.

    It is summed over all 2^L masks, so that what the proof does by algebra is done by counting.

    Args:
        prior: P(S_1, ..., S_L), shape (2,) * L.
        emission: P(X | S), shape (2, values).
        pixel: the index k.

    Returns:
        The joint distribution.
    """
    joint = np.zeros((2, 2, emission.shape[1]))
    for mask, probability in np.ndenumerate(np.asarray(prior, dtype=float)):
        joint[int(any(mask)), mask[pixel]] += probability * emission[mask[pixel]]
    return joint


def with_noise(joint: Floats, noise: float) -> Floats:
    """Replace X by a uniform value with probability `noise` in a joint (..., values)."""
    mass = joint.sum(axis=-1, keepdims=True)
    return (1 - noise) * joint + noise * mass / joint.shape[-1]
