"""The Bayesian signed-rank test: against its sums written out, and in its limits."""

from __future__ import annotations

import numpy as np
import pytest

from hinterland.evaluation.statistics.rope import bayesian_signed_rank


def written_out(values, rope, samples, seed):
    """The three probabilities, every pair of observations in turn."""
    z = np.append(0.0, values)
    draw = np.random.default_rng(seed)
    wins = np.zeros(3)
    for w in draw.dirichlet([0.5] + [1.0] * len(values), size=samples):
        masses = np.zeros(3)
        for i, first in enumerate(z):
            for j, second in enumerate(z):
                average = (first + second) / 2
                masses[0 if average < -rope else 2 if average > rope else 1] += w[i] * w[j]
        wins[masses.argmax()] += 1
    return wins / samples


@pytest.mark.parametrize("seed", range(4))
def test_the_sums_written_out(seed):
    values = np.random.default_rng(seed).normal(0.01 * seed, 0.03, 12)
    expected = written_out(values, 0.01, 3000, seed)
    found = bayesian_signed_rank(values, 0.01, samples=20_000, seed=seed + 100)
    assert (found.lower, found.equal, found.higher) == pytest.approx(tuple(expected), abs=0.03)
    assert found.lower + found.equal + found.higher == pytest.approx(1)


def test_many_patients_with_a_difference_that_does_not_matter():
    """What the Wilcoxon test calls significant, and no one needs."""
    from hinterland.evaluation.statistics.paired_tests import wilcoxon

    values = np.random.default_rng(0).normal(0.002, 0.005, 400)
    assert wilcoxon(values) < 1e-6
    assert bayesian_signed_rank(values, 0.01).equal > 0.99


def test_sides_change_places_with_the_sign():
    values = np.random.default_rng(2).normal(0.02, 0.05, 15)
    there, back = (bayesian_signed_rank(s * values, 0.01) for s in (1, -1))
    assert there.higher == pytest.approx(back.lower, abs=0.02)
    assert there.equal == pytest.approx(back.equal, abs=0.02)


def test_far_away_is_sure_and_nothing_is_nan():
    assert bayesian_signed_rank(np.full(20, 0.5), 0.01).higher > 0.999
    assert bayesian_signed_rank(np.zeros(20), 0.01).equal == 1
    assert np.isnan(bayesian_signed_rank([np.nan], 0.01).equal)


def test_without_an_effect_neither_side_is_favoured():
    draw = np.random.default_rng(5)
    found = [bayesian_signed_rank(draw.normal(0, 0.05, 20), 0.0, samples=500) for _ in range(200)]
    assert np.mean([f.higher for f in found]) == pytest.approx(0.5, abs=0.08)
