"""Paper 1's Lemma 1, Theorem 1, Corollary 1 and Proposition 1, executed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from label_strategies import coarsenings, probabilities, trees

from hinterland.labels import LabelTree
from hinterland.theory.fisher import (
    added,
    binary_term,
    delta_variance,
    expected_score,
    factor,
    gap_term,
    information,
    label_covariance,
    leaves,
    set_score,
    target_or_not,
    whole,
    within,
)
from hinterland.theory.fisher_network import (
    estimate_information,
    estimate_sensitivity,
    logits_and_jacobian,
    scores,
)
from hinterland.theory.fisher_simulation import maximise, multinomial_design, simulate

DOUBLE = torch.float64


def partition(coarsening) -> torch.Tensor:
    return torch.tensor(np.array(coarsening.matrix))


@st.composite
def cases(draw):
    tree = draw(trees())
    at = draw(coarsenings(tree))
    seed = draw(st.integers(0, 10_000))
    p = torch.tensor(probabilities(len(tree), 5, seed).T.copy())
    jacobian = torch.randn(
        5, len(tree), 6, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed)
    )
    return tree, partition(at), p, jacobian


@given(cases())
def test_covariance_is_between_plus_within_for_any_coarsening_of_any_tree(case):
    tree, groups, p, jacobian = case
    k = len(tree)
    full = label_covariance(p)
    assert torch.allclose(added(p, leaves(k), whole(k)), full, atol=1e-8, rtol=0)
    # The text-book form of the second term, written anew.
    mass = p @ groups.to(p).T
    inside = sum(
        mass[:, g, None, None] * label_covariance(within(p, groups)[:, g])
        for g in range(len(groups))
    )
    between = added(p, groups, whole(k))
    assert torch.allclose(full, between + inside, atol=1e-8, rtol=0)
    assert torch.allclose(added(p, leaves(k), groups), inside, atol=1e-8, rtol=0)
    # Theorem 1: the gap is positive semi-definite, also for parameters.
    gap = information(jacobian, full) - information(jacobian, between)
    assert torch.linalg.eigvalsh(gap).min() > -1e-8


@given(cases())
def test_lemma_1_the_coarse_score_is_the_mean_of_the_fine_ones(case):
    tree, groups, p, jacobian = case
    fine = set_score(jacobian, p, leaves(len(tree)))
    assert torch.allclose(
        expected_score(fine, p, groups), set_score(jacobian, p, groups), atol=1e-8
    )
    # and the information is the mean outer product of the scores
    mass = p @ groups.to(p).T
    coarse = set_score(jacobian, p, groups)
    outer = torch.einsum("bg,bgi,bgj->bij", mass, coarse, coarse)
    assert torch.allclose(
        outer, information(jacobian, added(p, groups, whole(len(tree)))), atol=1e-8
    )


@pytest.mark.parametrize("target", [0, 2])
def test_proposition_1_as_printed(target):
    p = torch.tensor(probabilities(4, 7, 3).T.copy())
    z = target_or_not(4, target)
    assert torch.allclose(binary_term(p, target), added(p, z, whole(4)), atol=1e-12)
    assert torch.allclose(gap_term(p, target), added(p, leaves(4), z), atol=1e-12)
    assert torch.allclose(
        binary_term(p, target) + gap_term(p, target), label_covariance(p), atol=1e-12
    )


def test_by_hand():
    p = torch.tensor([0.5, 0.3, 0.2], dtype=DOUBLE)
    expected = torch.tensor([[0, 0, 0], [0, 0.12, -0.12], [0, -0.12, 0.12]], dtype=DOUBLE)
    assert torch.allclose(gap_term(p, 0), expected)


def test_equality_cases_and_a_strict_one():
    jacobian = torch.randn(4, 3, 5, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))

    def gap(j: torch.Tensor, p: torch.Tensor) -> float:
        k = p.shape[-1]
        return float(information(j, added(p, leaves(k), target_or_not(k, 0))).abs().max())

    two = torch.tensor([[0.3, 0.7]] * 4, dtype=DOUBLE)
    assert gap(jacobian[:, :2], two) < 1e-12  # K = 2
    certain = torch.tensor([[0.3, 0.7, 0.0]] * 4, dtype=DOUBLE)
    assert gap(jacobian, certain) < 1e-12  # deterministic rest
    p = torch.tensor([[0.3, 0.5, 0.2]] * 4, dtype=DOUBLE)
    tied = torch.stack([jacobian[:, 0], jacobian[:, 1], jacobian[:, 1]], dim=1)
    assert gap(tied, p) < 1e-12  # the proportions of the rest do not move
    assert gap(jacobian, p) > 0.01


def test_a_partition_that_is_no_refinement_is_refused():
    p = torch.tensor([0.5, 0.3, 0.2], dtype=DOUBLE)
    with pytest.raises(ValueError, match="does not refine"):
        factor(p, target_or_not(3, 0), target_or_not(3, 1))


def network(labels: int = 4) -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3, padding=1), torch.nn.Tanh(), torch.nn.Conv2d(3, labels, 1)
    ).double()


def test_lemma_and_theorem_on_a_network():
    net, x = network(), torch.randn(2, 1, 4, 4, dtype=DOUBLE)
    tree = LabelTree({"rest": {}, "organ": {"liver": {}, "kidney": {}}, "lesion": {}})
    groups = partition(tree.coarsen("lesion"))
    f, jacobian = logits_and_jacobian(net, x)
    p = f.softmax(-1)
    by_autograd = scores(net, x, groups)
    assert torch.allclose(by_autograd, set_score(jacobian, p, groups), atol=1e-10)
    fine = scores(net, x, leaves(4))
    assert torch.allclose(expected_score(fine, p, groups), by_autograd, atol=1e-10)
    gap = information(jacobian, added(p, leaves(4), groups)).mean(0)
    assert torch.linalg.eigvalsh(gap).min() > -1e-12
    assert torch.linalg.eigvalsh(gap).max() > 1e-3


def test_hutchinson_estimates_trace_and_diagonal():
    net, x = network(), torch.randn(2, 1, 4, 4, dtype=DOUBLE)
    groups = target_or_not(4, 3)
    f, jacobian = logits_and_jacobian(net, x)
    exact = information(jacobian, added(f.softmax(-1), leaves(4), groups)).mean(0).diagonal()
    found = estimate_information(net, x, leaves(4), groups, probes=600)
    assert found.trace == pytest.approx(float(exact.sum()), abs=4 * found.standard_error)
    assert found.standard_error < 0.1 * found.trace
    diagonal = torch.cat([d.flatten() for d in found.diagonal.values()])
    assert float(diagonal.sum()) == pytest.approx(found.trace)
    assert torch.corrcoef(torch.stack([diagonal, exact]))[0, 1] > 0.95
    again = estimate_information(net, x, leaves(4), groups, probes=2, seed=5)
    assert torch.equal(
        again.traces, estimate_information(net, x, leaves(4), groups, probes=2, seed=5).traces
    )
    assert all(w.grad is None and w.requires_grad for w in net.parameters())


def test_sensitivity_of_the_target_probability():
    net, x = network(), torch.randn(1, 1, 3, 3, dtype=DOUBLE)
    f, jacobian = logits_and_jacobian(net, x)
    p = f.softmax(-1)
    gradient = torch.einsum("vk,vkp->vp", p * (torch.eye(4)[3] - p[:, 3:]), jacobian)
    found = estimate_sensitivity(net, x, torch.eye(4)[3], probes=400)
    assert found.trace == pytest.approx(float(gradient.square().sum(1).mean()), rel=0.2)


def test_delta_variance_of_a_direction_nobody_informs_about():
    info = torch.diag(torch.tensor([2.0, 0.0], dtype=DOUBLE))
    gradients = torch.tensor([[2.0, 0.0], [1.0, 1.0]], dtype=DOUBLE)
    found = delta_variance(gradients, info)
    assert found[0] == pytest.approx(2.0)
    assert found[1] == torch.inf


def test_corollary_1_many_multinomial_fits():
    """Fits with full labels vary less than with the target's alone, as much as predicted."""
    generator = torch.Generator().manual_seed(1)
    x = 2 * torch.randn(1000, 1, dtype=DOUBLE, generator=generator)
    theta = torch.tensor([0.3, 2.0, -0.4, 0.8], dtype=DOUBLE)
    design = multinomial_design(x, 3)
    at = multinomial_design(torch.linspace(-2, 2, 5, dtype=DOUBLE)[:, None], 3)
    found = simulate(theta, design, at, target_or_not(3, 2), 2, fits=200)
    assert (found.predicted_full <= found.predicted_coarse).all()
    assert (found.full < found.coarse).all()
    assert (found.predicted_coarse / found.predicted_full).max() > 1.3
    assert torch.allclose(found.full, found.predicted_full, rtol=0.3)
    assert torch.allclose(found.coarse, found.predicted_coarse, rtol=0.45)


def test_fits_that_do_not_converge_are_refused():
    design = multinomial_design(torch.tensor([[-1.0], [1.0]], dtype=DOUBLE), 2)
    observed = torch.eye(2, dtype=DOUBLE)[None]
    with pytest.raises(ValueError, match="did not converge"):
        maximise(torch.zeros(2, dtype=DOUBLE), design, leaves(2), observed, steps=1)
