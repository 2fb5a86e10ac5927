"""Proposition 1, Example 1 and Axiom 3 of paper 2: where they hold, and what they need."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hinterland.theory.exchangeability import (
    dependence,
    in_order,
    of_unknown_source,
    order_effect,
    shuffled,
)
from hinterland.theory.mediation import (
    GaussianChain,
    chain,
    conditional,
    conditional_information,
    mediated,
    mediation_error,
    partial_covariance,
)


def rows(rng: np.random.Generator, *shape: int) -> np.ndarray:
    p = rng.uniform(0.05, 1, shape)
    return p / p.sum(axis=-1, keepdims=True)


@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(2, 5), st.integers(2, 5))
def test_proposition_1_in_every_chain(seed, xs, zs, ys):
    rng = np.random.default_rng(seed)
    z_x, y_z = rows(rng, xs, zs), rows(rng, zs, ys)
    joint = chain(rows(rng, xs), z_x, y_z)
    assert joint.sum() == pytest.approx(1)
    assert conditional_information(joint) == pytest.approx(0, abs=1e-12)  # i
    assert mediation_error(joint) == pytest.approx(0, abs=1e-12)  # iii
    # ii: another P(X) (an intervention) leaves P(Y | X) as it was
    other = chain(rows(rng, xs), z_x, y_z).sum(axis=1)
    assert other / other.sum(axis=1, keepdims=True) == pytest.approx(mediated(z_x, y_z))


def test_a_strong_correlation_is_not_what_makes_it_hold():
    """Z agrees with Y in 96 of 100 cases, and X reaches Y past it; weak chains hold."""
    x, z_x = np.array([0.5, 0.5]), np.array([[0.9, 0.1], [0.1, 0.9]])
    y_xz = np.array([[[0.99, 0.01], [0.3, 0.7]], [[0.7, 0.3], [0.01, 0.99]]])
    joint = x[:, None, None] * z_x[:, :, None] * y_xz
    assert joint[:, 0, 0].sum() + joint[:, 1, 1].sum() > 0.95
    assert conditional_information(joint) > 0.01
    assert mediation_error(joint) > 0.02
    weak = chain(x, z_x, np.array([[0.51, 0.49], [0.49, 0.51]]))
    assert mediation_error(weak) == pytest.approx(0, abs=1e-12)


def test_without_the_sum_it_would_be_no_distribution():
    z_x, y_z = np.array([[0.5, 0.5]]), np.array([[0.9, 0.1], [0.2, 0.8]])
    assert mediated(z_x, y_z).sum() == pytest.approx(1)
    printed = y_z * z_x.T  # P(Y | Z) P(Z | X): of Z and Y, not of Y
    assert printed.shape == (2, 2)
    assert printed.sum(axis=0) == pytest.approx(mediated(z_x, y_z)[0])


@pytest.mark.parametrize(("a", "b"), [(0.5, 2.0), (-1.5, 0.3), (0.0, 1.0)])
def test_example_1_by_algebra_and_by_drawing(a, b):
    example = GaussianChain(a, b)
    covariance = example.covariance
    assert conditional(covariance, of=1, given=0) == pytest.approx((a, 1))
    assert conditional(covariance, of=2, given=1) == pytest.approx((b, 1))
    assert conditional(covariance, of=2, given=0) == pytest.approx((example.slope, 1 + b * b))
    assert example.variance == 1 + b * b
    assert partial_covariance(covariance, 0, 2, given=1) == pytest.approx(0, abs=1e-12)
    rng = np.random.default_rng(0)
    x = rng.standard_normal(200_000)
    z = a * x + rng.standard_normal(x.size)
    y = b * z + rng.standard_normal(x.size)
    assert np.cov([x, z, y]) == pytest.approx(covariance, abs=0.05)


def test_axiom_3_samples_of_one_unknown_source_are_exchangeable_and_dependent():
    pool = of_unknown_source([np.array([0.9, 0.1]), np.array([0.2, 0.8])], [0.5, 0.5], 4)
    assert pool.sum() == pytest.approx(1)
    assert order_effect(pool) == pytest.approx(0, abs=1e-12)
    assert dependence(pool) > 0.1  # and so not i.i.d.: the weaker assumption


def test_axiom_3_fails_where_the_place_tells_the_source():
    """Base first, then novel: the order tells as much as the sources differ, until it is random."""
    base, novel = np.array([0.9, 0.1]), np.array([0.2, 0.8])
    pool = in_order([base, novel])
    # by hand: P(0,1) = .9 x .8, P(1,0) = .1 x .2
    assert order_effect(pool) == pytest.approx(0.72 - 0.02)
    assert order_effect(in_order([base, base])) == pytest.approx(0)
    assert order_effect(shuffled(in_order([base, base, novel]))) == pytest.approx(0, abs=1e-12)
