"""CVBM's appendix: Theorem 2 with its third condition holds, and what is printed does not."""

from __future__ import annotations

import numpy as np
import pytest

from hinterland.theory.cvbm import (
    binary_entropy,
    conditions,
    descend,
    entropy_interval,
    printed_bound,
)

N = 400_000


@pytest.fixture(scope="module")
def draws():
    """mu, q in (0, 1), task gradients of all sizes, steps from tiny to large."""
    rng = np.random.default_rng(0)
    mu, q = rng.uniform(1e-6, 1 - 1e-6, (2, N))
    gradient = rng.normal(size=N) * 10 ** rng.uniform(-3, 1, N)
    return mu, q, gradient, 10 ** rng.uniform(-4, 1, N)


def test_the_counterexample_meets_both_printed_conditions_and_gains_entropy():
    mu, q, gradient, rate = 0.4, 0.1, -0.01, 0.05
    found = conditions(mu, q, gradient)
    assert found.printed
    assert not found.opposite
    after = descend(mu, q, gradient, rate)
    assert float(binary_entropy(mu)) == pytest.approx(0.673, abs=5e-4)
    assert float(binary_entropy(after)) == pytest.approx(0.688, abs=5e-4)


def test_with_the_third_condition_the_entropy_always_falls(draws):
    mu, q, gradient, rate = draws
    holds = conditions(mu, q, gradient).corrected
    assert holds.sum() > N / 20
    before, after = binary_entropy(mu), binary_entropy(descend(mu, q, gradient, rate))
    assert (after[holds] < before[holds]).all()


def test_without_the_third_condition_a_small_step_always_raises_it(draws):
    """So it is not only enough but needed: mu moves towards 0.5."""
    mu, q, gradient, _ = draws
    found = conditions(mu, q, gradient)
    same_side = found.printed & ~found.opposite & (np.abs(mu - 0.5) > 1e-3)
    assert same_side.sum() > N / 20
    after = descend(mu, q, gradient, 1e-6)
    assert (binary_entropy(after) > binary_entropy(mu))[same_side].all()


def test_eq_34_is_needed_as_well(draws):
    mu, q, gradient, _ = draws
    found = conditions(mu, q, gradient)
    weaker = found.agree & ~found.surer & (np.abs(mu - 0.5) > 1e-3) & (mu + q != 1)
    after = descend(mu, q, gradient, 1e-6)
    assert (binary_entropy(after) > binary_entropy(mu))[weaker].all()


def test_at_two_points_no_small_step_raises_it():
    """mu = 0.5, the maximum of H, from where every step falls; mu + q = 1, where nothing moves."""
    at_half = conditions(0.5, 0.1, -0.01)
    assert at_half.printed
    assert not at_half.opposite
    assert binary_entropy(descend(0.5, 0.1, -0.01, 1e-3)) < binary_entropy(0.5)
    still = conditions(0.4, 0.6, 0.0)
    assert still.agree
    assert not still.surer
    assert descend(0.4, 0.6, 0.0, 1e-3) == pytest.approx(0.4)


@pytest.mark.parametrize("mu", [0.05, 0.3, 0.45, 0.8])
@pytest.mark.parametrize("epsilon", [1e-6, 1e-4, 1e-2])
def test_printed_lemmas_exclude_the_point_without_deviation(mu, epsilon):
    """mu_2 = mu and q = 1 - mu meet every constraint; the entropies are 2 H(mu), not beyond."""
    entropy = 2 * float(binary_entropy(mu))
    assert entropy == pytest.approx(float(binary_entropy(mu) + binary_entropy(1 - mu)))
    assert entropy < printed_bound(mu, epsilon, "A")
    assert entropy > printed_bound(mu, epsilon, "B")


def test_corrected_interval_holds_and_leaves_no_gap():
    rng = np.random.default_rng(1)
    mu = rng.uniform(0, 1, N)
    other = np.clip(mu + rng.normal(size=N) * 10 ** rng.uniform(-5, 0, N), 0, 1)
    low, high = entropy_interval(mu, (mu - other) ** 2)
    for second in (other, 1 - other):  # architecture A: mu_2; architecture B: q = 1 - mu_2
        entropy = binary_entropy(mu) + binary_entropy(second)
        assert (entropy >= low - 1e-12).all()
        assert (entropy <= high + 1e-12).all()
    # Theorem 1 would need the two architectures a constant apart however small epsilon is.
    low, high = entropy_interval(0.3, np.array([1e-4, 1e-8, 1e-12]))
    assert (np.diff(high - low) < 0).all()
    assert high[-1] - low[-1] < 1e-4
