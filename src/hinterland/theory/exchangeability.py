"""Paper 2's Axiom 3: pooled samples are exchangeable, their order tells nothing of them.

An axiom of the pool, not a consequence of its causal graph: samples of one unknown source, or of
several in a random order, are exchangeable though they depend on each other (de Finetti). Samples
whose place tells the source ("base first, then novel") are so only if the sources are alike. A loss
that treats the data sets as interchangeable therefore supposes what data addition puts in doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def in_order(sources: Sequence[Floats]) -> Floats:
    """Return the joint distribution of independent samples, the i-th from the i-th source.

    Args:
        sources: a distribution over the same values for each sample.

    Returns:
        Probabilities, one axis a sample.
    """
    joint = np.ones(())
    for source in sources:
        joint = np.multiply.outer(joint, np.asarray(source, float))
    return joint


def shuffled(joint: Floats) -> Floats:
    """Return the joint distribution of the same samples in a random order.

    Args:
        joint: probabilities, one axis a sample.

    Returns:
        The mean over all orders.
    """
    return np.mean([joint.transpose(order) for order in permutations(range(joint.ndim))], axis=0)


def of_unknown_source(sources: Sequence[Floats], weights: Sequence[float], count: int) -> Floats:
    """Return the joint distribution of samples that all come from one source, nobody knows which.

    Args:
        sources: distributions over the same values.
        weights: how probable each source is.
        count: how many samples.

    Returns:
        The mixture of independent samples, one axis a sample.
    """
    parts = [w * in_order([source] * count) for source, w in zip(sources, weights, strict=True)]
    return np.sum(parts, axis=0)


def order_effect(joint: Floats) -> float:
    """Return how much the order of samples tells: the total variation distance to the worst order.

    Args:
        joint: probabilities, one axis a sample, all of one length.

    Returns:
        0 for exchangeable samples, at most 1.
    """
    orders = permutations(range(joint.ndim))
    return max(float(np.abs(joint - joint.transpose(order)).sum() / 2) for order in orders)


def dependence(joint: Floats) -> float:
    """Return the total variation distance of the first two samples from independent ones.

    Args:
        joint: probabilities, one axis a sample, at least two.

    Returns:
        0 for independent samples, at most 1.
    """
    pair = joint.sum(axis=tuple(range(2, joint.ndim)))
    product = np.outer(pair.sum(axis=1), pair.sum(axis=0))
    return float(np.abs(pair - product).sum() / 2)
