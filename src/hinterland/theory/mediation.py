"""Paper 2's Proposition 1 and Example 1: a mediator Z between an image X and its labels Y.

In the chain X -> Z -> Y, X and Y are independent given Z, and

    P(Y | X) = sum over z of P(Y | z) P(z | X)

(the sum is missing in the paper's text). Both follow from the graph. The "strong correlation" of Z
with Y that the proposition assumes is neither needed nor enough: where X reaches Y by another way
as well, neither holds, however strongly Z and Y are correlated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def mediated(z_given_x: Floats, y_given_z: Floats) -> Floats:
    """Return P(Y | X) of the chain X -> Z -> Y.

    Args:
        z_given_x: P(Z | X), (values of X, values of Z).
        y_given_z: P(Y | Z), (values of Z, values of Y).

    Returns:
        (values of X, values of Y), rows that sum to 1.
    """
    return np.asarray(z_given_x @ y_given_z)


def chain(x: Floats, z_given_x: Floats, y_given_z: Floats) -> Floats:
    """Return the joint distribution of the chain X -> Z -> Y, (X, Z, Y).

    Args:
        x: P(X).
        z_given_x: P(Z | X), (X, Z).
        y_given_z: P(Y | Z), (Z, Y).

    Returns:
        Probabilities that sum to 1.
    """
    return x[:, None, None] * z_given_x[:, :, None] * y_given_z[None]


def mediation_error(joint: Floats) -> float:
    """Return how far P(Y | X) is from what goes through Z: the largest difference.

    Args:
        joint: P(X, Z, Y), (X, Z, Y), no value of X or Z without mass.

    Returns:
        0 where Proposition 1 holds.
    """
    xz, zy, xy = joint.sum(axis=2), joint.sum(axis=0), joint.sum(axis=1)
    through = mediated(xz / xz.sum(axis=1, keepdims=True), zy / zy.sum(axis=1, keepdims=True))
    return float(np.abs(xy / xy.sum(axis=1, keepdims=True) - through).max())


def conditional_information(joint: Floats) -> float:
    """Return I(X; Y | Z) in nats: 0 where X says nothing of Y that Z does not say.

    Args:
        joint: P(X, Z, Y), (X, Z, Y).

    Returns:
        The information, at least 0.
    """
    z = joint.sum(axis=(0, 2))[None, :, None]
    xz, zy = joint.sum(axis=2)[:, :, None], joint.sum(axis=0)[None]
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = joint * np.log(joint * z / (xz * zy))
    return max(0.0, float(np.nansum(terms)))


@dataclass(frozen=True)
class GaussianChain:
    """Example 1: X ~ N(0, 1), Z = a X + e1, Y = b Z + e2, with e1, e2 ~ N(0, 1)."""

    a: float
    b: float

    @property
    def covariance(self) -> Floats:
        """Of (X, Z, Y), (3, 3)."""
        mixing = np.array([[1.0, 0, 0], [self.a, 1, 0], [self.a * self.b, self.b, 1]])
        return mixing @ mixing.T

    @property
    def slope(self) -> float:
        """The mean of Y | X is slope X: a b."""
        return self.a * self.b

    @property
    def variance(self) -> float:
        """Of Y | X: 1 + b^2."""
        return 1 + self.b**2


def conditional(covariance: Floats, of: int, given: int) -> tuple[float, float]:
    """Return slope and variance of one Gaussian variable given another, all means being 0.

    Args:
        covariance: of the variables.
        of: the number of the one.
        given: the number of the other.

    Returns:
        Slope of the mean, and variance.
    """
    slope = covariance[of, given] / covariance[given, given]
    return float(slope), float(covariance[of, of] - slope * covariance[of, given])


def partial_covariance(covariance: Floats, one: int, other: int, given: int) -> float:
    """Return the covariance of two Gaussian variables given a third; 0 if independent given it.

    Args:
        covariance: of the variables.
        one: the number of the first.
        other: the number of the second.
        given: the number of the third.

    Returns:
        cov(one, other) - cov(one, given) cov(other, given) / var(given).
    """
    through = covariance[one, given] * covariance[other, given] / covariance[given, given]
    return float(covariance[one, other] - through)
