"""Divergences of samples: close to the truth where it is known, and never far above it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hinterland.theory.density_ratio import RatioSums, cross_fitted_ratio
from hinterland.types import HinterlandError


def samples(shift: float, count: int = 3000, seed: int = 0):
    """P = N(0, 1), Q = N(shift, 1), a useless second feature, 30 groups."""
    rng = np.random.default_rng(seed)
    p = rng.random(count) < 0.5
    features = rng.standard_normal((count, 2))
    features[~p, 0] += shift
    return features, p.astype(float), (~p).astype(float), rng.integers(30, size=count).astype(str)


@pytest.mark.parametrize("shift", [0.0, 1.0, 1.5])
def test_gaussians_of_equal_width(shift):
    truth = shift**2 / 2
    bound = float(cross_fitted_ratio(*samples(shift)).bound()[0])
    assert 0.7 * truth - 0.02 <= bound <= truth + 0.12


def test_weights_count_samples():
    """Q made of two kinds of samples with weights 3 : 1 is that mixture."""
    sums = RatioSums(np.array(["a", "b"]), np.array([[1.0, 2, 2, 4], [3.0, 2, 10, 4]]))
    assert sums.bound()[0] == pytest.approx(4 / 4 - math.log(12 / 8))
    twice_a = sums.bound(np.array([2.0, 0.0]))[0]
    assert twice_a == pytest.approx(1 / 2 - math.log(2 / 4))
    assert sums.bound(np.array([0.0, 1.0]))[0] == pytest.approx(3 / 2 - math.log(10 / 4))


def test_what_is_memorised_earns_nothing():
    """Every group has a feature value and a label of its own: nothing carries over to others."""
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(40), 50)
    value, label = rng.standard_normal(40), rng.random(40) < 0.5
    features = value[groups][:, None] + 0.01 * rng.standard_normal((2000, 1))
    p = label[groups].astype(float)
    bound = cross_fitted_ratio(features, p, 1 - p, groups.astype(str)).bound()[0]
    assert bound < 0.05


def test_one_group_is_refused():
    features, p, q, _ = samples(1.0, 50)
    with pytest.raises(HinterlandError, match="at least 2"):
        cross_fitted_ratio(features, p, q, np.full(50, "a"))
