"""Ranking stability: by hand, against scipy, and against a simulation whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hinterland.evaluation.statistics.bootstrap import bootstrap_means
from hinterland.evaluation.statistics.ranking import ranking_stability


def test_shares_are_the_ranks_of_the_resampled_means():
    values = np.random.default_rng(0).normal([0.70, 0.72, 0.71, 0.6], 0.1, (25, 4))
    found = ranking_stability(values, resamples=400, seed=3)
    means = bootstrap_means(values, resamples=400, seed=3)
    ranks = stats.rankdata(-means, axis=1)
    expected = [[(ranks[:, m] == r).mean() for r in (1, 2, 3, 4)] for m in range(4)]
    assert found.shares == pytest.approx(np.array(expected))
    own = values.mean(axis=0)
    assert found.ranks == tuple(stats.rankdata(-own))
    taus = [stats.kendalltau(own, row).statistic for row in means]
    assert found.tau == pytest.approx(np.mean(taus))


def test_a_difference_of_one_standard_error_wins_as_often_as_the_normal_law_says():
    """Over resamples, the mean difference is normal with the standard error of the study."""
    draw = np.random.default_rng(1)
    noise = draw.normal(size=4000)
    noise = (noise - noise.mean()) / noise.std()
    difference = noise * 0.1 + 0.1 / np.sqrt(4000)  # exactly one standard error
    values = np.stack([np.zeros(4000), difference], axis=1)
    found = ranking_stability(values, resamples=4000)
    assert found.wins[1] == pytest.approx(stats.norm.cdf(1), abs=0.02)


def test_ties_share_their_ranks():
    values = np.tile(np.linspace(0, 1, 7)[:, None], 3)
    values[:, 2] -= 0.5
    found = ranking_stability(values, resamples=50)
    assert found.ranks == (1.5, 1.5, 3.0)
    assert found.shares == pytest.approx(np.array([[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]]))
    assert found.tau == pytest.approx(1)


def test_direction_and_missing_values():
    values = np.array([[1.0, 2.0], [2.0, 3.0], [np.nan, -50.0]])
    assert ranking_stability(values, resamples=20).wins == (0.0, 1.0)
    assert ranking_stability(values, higher_is_better=False, resamples=20).wins == (1.0, 0.0)
    assert np.isnan(ranking_stability(values[2:], resamples=20).tau)


def test_patients_are_drawn_whole():
    """One patient with all that speaks for the second method: it wins where he is drawn."""
    values = np.array([[0.5, 0.49]] * 9 + [[0.5, 1.0]] * 9)
    groups = [f"p{i}" for i in range(9)] + ["heavy"] * 9
    found = ranking_stability(values, groups, resamples=4000)
    assert found.wins[1] == pytest.approx(1 - (9 / 10) ** 10, abs=0.03)
