"""Proposition 1 of paper 5: in the paper's model, and what holds outside of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hinterland.theory.masks import joint_of_pixel, kl_divergence, mask_terms, with_noise


def distribution(size: int) -> st.SearchStrategy[np.ndarray]:
    """Probabilities of which some may be zero, but not all."""
    weight = st.one_of(st.just(0.0), st.floats(0.01, 1.0))
    lists = st.lists(weight, min_size=size, max_size=size).filter(lambda w: sum(w) > 0)
    return lists.map(lambda w: np.array(w) / sum(w))


@st.composite
def generators(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """P(S_1..S_L) over all masks, and P(X|S)."""
    pixels, values = draw(st.integers(1, 4)), draw(st.integers(2, 5))
    prior = draw(distribution(2**pixels)).reshape((2,) * pixels)
    return prior, np.stack([draw(distribution(values)) for _ in range(2)])


@given(generators())
@settings(max_examples=150, deadline=None)
def test_proposition_1_holds_for_every_pixel_of_every_generator(generator):
    prior, emission = generator
    for pixel in range(prior.ndim):
        joint = joint_of_pixel(prior, emission, pixel)
        assert joint.sum() == pytest.approx(1)
        terms = mask_terms(joint)
        if math.isnan(terms.pixel) or math.isnan(terms.image):
            continue  # a label that never occurs
        assert terms.holds
        assert 0 < terms.share <= 1
        assert terms.background == pytest.approx(0, abs=1e-9)  # X depends on S only


@given(distribution(12).map(lambda w: w.reshape(3, 4)))
@settings(max_examples=150, deadline=None)
def test_the_general_bound_holds_for_every_joint(parts):
    joint = np.zeros((2, 2, 4))
    joint[0, 0], joint[1, 0], joint[1, 1] = parts
    terms = mask_terms(joint)
    if not (math.isnan(terms.image) or math.isnan(terms.target)):
        assert terms.image <= terms.general * (1 + 1e-9) + 1e-12


def test_terms_of_a_generator_worked_by_hand():
    # two pixels, at most one of them target, half of the images positive
    prior = np.array([[0.5, 0.25], [0.25, 0.0]])
    emission = np.array([[0.75, 0.25], [0.25, 0.75]])
    terms = mask_terms(joint_of_pixel(prior, emission, 0))
    assert terms.share == pytest.approx(0.5)  # Pr(S=1) = 1/4, Pr(y=1) = 1/2
    assert terms.pixel == pytest.approx(0.5 * math.log(3))
    # a pixel of a positive image is target or not with 1/2 each: P(X|y=1) = (1/2, 1/2)
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert terms.image == pytest.approx(expected)
    assert terms.scaled == pytest.approx(2 * expected)
    assert terms.holds


def test_both_sides_are_equal_where_the_target_fills_positive_images():
    prior = np.array([[0.5, 0.0], [0.0, 0.5]])
    emission = np.array([[0.6, 0.3, 0.1], [0.1, 0.3, 0.6]])
    terms = mask_terms(joint_of_pixel(prior, emission, 1))
    assert terms.share == 1
    assert terms.pixel == pytest.approx(terms.scaled)


def test_the_proposition_fails_where_the_background_knows_the_label():
    """Target and background look alike, but the background is another one in positive images."""
    joint = np.zeros((2, 2, 2))
    joint[0, 0] = [0.45, 0.05]
    joint[1, 0] = [0.05, 0.43]
    joint[1, 1] = [0.01, 0.01]
    terms = mask_terms(joint)
    assert terms.background > 1
    assert not terms.holds
    assert terms.image <= terms.general


def test_divergence_of_disjoint_distributions_is_infinite_until_there_is_noise():
    p, q = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    assert kl_divergence(p, q) == math.inf
    joint = np.zeros((2, 2, 2))
    joint[0, 0], joint[1, 0], joint[1, 1] = [0.5, 0], [0.4, 0], [0, 0.1]
    assert mask_terms(joint).pixel == math.inf
    noisy = with_noise(joint, 0.1)
    assert noisy.sum() == pytest.approx(1)
    assert mask_terms(noisy).pixel == pytest.approx(0.95 * math.log(19) - 0.05 * math.log(19))
