"""How stable a ranking of methods is: who wins how often, were other patients tested?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np

from hinterland.evaluation.statistics.bootstrap import RESAMPLES, bootstrap_means


@dataclass(frozen=True)
class RankingStability:
    """A ranking of methods by their means, and how often resampled studies repeat it.

    Attributes:
        ranks: of each method on the cases themselves, 1 is best; ties share their mean rank.
        shares: (methods, ranks), how often a method has rank 1, 2, ... over resampled patients; of
            tied methods each takes an equal part of the ranks they share.
        tau: mean Kendall's tau-b between the ranking and the resampled ones; 1: it never changes,
            NaN where all methods are level.
    """

    ranks: tuple[float, ...]
    shares: np.ndarray
    tau: float

    @property
    def wins(self) -> tuple[float, ...]:
        """How often each method is the best."""
        return tuple(self.shares[:, 0].tolist())


def ranking_stability(
    values: np.ndarray,
    groups: Sequence[Any] | np.ndarray | None = None,
    *,
    higher_is_better: bool = True,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> RankingStability:
    """Rank methods by their means over resampled patients (Wiesenfarth et al. 2021).

    All methods are looked at on the same resamples. A case on which a value is missing is left out
    for all of them.

    Args:
        values: (cases, methods) of one metric.
        groups: the patient of each case; default, every case is its own.
        higher_is_better: the direction of the metric.
        resamples: how many studies are drawn.
        seed: of the draws.

    Returns:
        The ranking and its stability; NaN where no case has all values.

    Example:
        >>> better = np.linspace(0.6, 0.8, 30)
        >>> found = ranking_stability(np.stack([better - 0.1, better], axis=1))
        >>> [round(rank, 1) for rank in found.ranks], round(found.wins[1], 2)
        ([2.0, 1.0], 1.0)
    """
    table = np.asarray(values, dtype=float)
    usable = np.isfinite(table).all(axis=1)
    methods = table.shape[1]
    if not usable.any():
        return RankingStability((nan,) * methods, np.full((methods, methods), nan), nan)
    table = table[usable] if higher_is_better else -table[usable]
    kept = None if groups is None else np.asarray(groups)[usable]
    # equal up to rounding is a tie, whatever the order of summation
    means = np.round(bootstrap_means(table, kept, resamples=resamples, seed=seed), 12)
    own = np.round(table.mean(axis=0), 12)
    above, level = _order(means)
    places = np.arange(methods)
    first, last = above.sum(axis=2)[..., None], (above.sum(axis=2) + level.sum(axis=2))[..., None]
    share = ((places >= first) & (places < last)) / (last - first)
    before, same = _order(own[None])
    ranks = 1 + before.sum(axis=2)[0] + (same.sum(axis=2)[0] - 1) / 2
    return RankingStability(tuple(ranks.tolist()), share.mean(axis=0), _tau(own, means))


def _order(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tell for (studies, methods) which method is above, and which level with each."""
    pairs = means[:, None, :] - means[:, :, None]
    return pairs > 0, pairs == 0


def _tau(own: np.ndarray, means: np.ndarray) -> float:
    """Return the mean of Kendall's tau-b between one ranking and many; a level one counts as 0."""
    rows, columns = np.triu_indices(len(own), 1)
    first = np.sign(own[rows] - own[columns])
    others = np.sign(means[:, rows] - means[:, columns])
    scale = np.sqrt((first != 0).sum() * (others != 0).sum(axis=1))
    if not (first != 0).any():
        return nan
    concordance = others @ first
    return float(np.divide(concordance, scale, out=np.zeros(len(means)), where=scale > 0).mean())
