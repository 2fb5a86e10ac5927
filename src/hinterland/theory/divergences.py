"""How far apart two sets of grey levels lie (paper 2, tables 2 and 3), in nats."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon

from hinterland.theory.masks import kl_divergence

EPS = 1e-8


def smoothed(counts: NDArray, eps: float = EPS) -> NDArray[np.float64]:
    """Turn a histogram into probabilities, none zero (eps is added); NaN if it is empty."""
    counts = np.asarray(counts, dtype=float)
    if counts.sum() <= 0:
        return np.full(counts.shape, np.nan)
    p = counts / counts.sum() + eps
    return p / p.sum()


def histogram_kl(base: NDArray, added: NDArray, eps: float = EPS) -> float:
    """Return KL(base || added) of two histograms of counts; NaN if one is empty.

    Args:
        base: counts of P.
        added: counts of Q, in the same bins.
        eps: added to each bin.

    Returns:
        The divergence, in nats.
    """
    p, q = smoothed(base, eps), smoothed(added, eps)
    return float("nan") if np.isnan(p).any() or np.isnan(q).any() else kl_divergence(p, q)


def histogram_js(base: NDArray, added: NDArray) -> float:
    """Return the Jensen-Shannon distance, sqrt((KL(p || m) + KL(q || m)) / 2), m = (p + q) / 2.

    In [0, sqrt(log 2)] = [0, 0.83]; NaN if one histogram is empty.
    """
    p, q = np.asarray(base, float), np.asarray(added, float)
    if p.sum() <= 0 or q.sum() <= 0:
        return float("nan")
    return float(np.nan_to_num(jensenshannon(p, q)))
