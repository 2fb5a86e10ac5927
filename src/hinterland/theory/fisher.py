"""Fisher information of a label and of its coarsenings, for softmax models (paper 1, section 3).

Notation: p (..., K) probabilities of K labels; a partition of the labels is a 0/1 matrix M (G, K)
(`Coarsening.matrix`), its groups have masses q = M p and distributions pi^g = p / q_g inside g;
J (..., K, P) is the Jacobian of the logits by the parameters. The score of a label set S is
J^T (pi^S - p), and every information matrix is J^T C J for a K x K matrix C. For two partitions of
which `fine` refines `coarse`,

    C(fine | coarse) = sum_{h in fine} q_h (pi^h - pi^g(h)) (pi^h - pi^g(h))^T,

g(h) being the coarse group around h: what `fine` adds to `coarse` (law of total variance). With
`whole` (one group) as `coarse` it is the information of `fine` itself.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Probabilities = Float[Tensor, "*batch labels"]
Partition = Bool[Tensor, "_ labels"]
Curvature = Float[Tensor, "*batch labels labels"]


def leaves(labels: int) -> Partition:
    """Make the finest partition: every label a group."""
    return torch.eye(labels, dtype=torch.bool)


def whole(labels: int) -> Partition:
    """Make the coarsest partition: one group, no information."""
    return torch.ones(1, labels, dtype=torch.bool)


def target_or_not(labels: int, target: int) -> Partition:
    """Return Z = 1[Y = target]: the paper's binary label."""
    inside = leaves(labels)[target]
    return torch.stack([~inside, inside])


def label_covariance(p: Probabilities) -> Curvature:
    """Return Diag(p) - p p^T, the covariance of the one-hot label."""
    return torch.diag_embed(p) - p[..., :, None] * p[..., None, :]


def within(p: Probabilities, groups: Partition) -> Float[Tensor, "*batch groups labels"]:
    """Return pi^g: p restricted to each group over the group's mass (zero where that is zero)."""
    parts = groups.to(p) * p[..., None, :]
    mass = parts.sum(-1, keepdim=True)
    return torch.where(mass > 0, parts / mass.clamp(min=torch.finfo(p.dtype).tiny), 0)


def factor(
    p: Probabilities, fine: Partition, coarse: Partition
) -> Float[Tensor, "*batch labels groups"]:
    """Return L with C(fine | coarse) = L L^T: column h is sqrt(q_h) (pi^h - pi^g(h)).

    Args:
        p: probabilities of the leaves.
        fine: groups of leaves.
        coarse: groups of those groups.

    Returns:
        L, one column a group of `fine`.

    Raises:
        ValueError: `fine` does not refine `coarse`.
    """
    inside = (fine.to(p) @ coarse.to(p).T) > 0
    if bool((inside.sum(1) != 1).any()):
        raise ValueError("`fine` does not refine `coarse`: one of its groups lies in several.")
    parent = inside.to(torch.uint8).argmax(1)
    mass = (fine.to(p) @ p[..., None])[..., 0]
    columns = mass.sqrt()[..., None] * (within(p, fine) - within(p, coarse)[..., parent, :])
    return columns.transpose(-1, -2)


def added(p: Probabilities, fine: Partition, coarse: Partition) -> Curvature:
    """Return C(fine | coarse): the curvature that `fine` labels add to `coarse` ones.

    Args:
        p: probabilities of the leaves.
        fine: groups of leaves.
        coarse: groups of those groups.

    Returns:
        The matrix (leaves, leaves).
    """
    root = factor(p, fine, coarse)
    return root @ root.transpose(-1, -2)


def binary_term(p: Probabilities, target: int) -> Curvature:
    """Return p_c / (1 - p_c) (e_c - p)(e_c - p)^T, as Proposition 1 prints it."""
    direction = leaves(p.shape[-1]).to(p)[target] - p
    odds = p[..., target] / (1 - p[..., target])
    return odds[..., None, None] * direction[..., :, None] * direction[..., None, :]


def gap_term(p: Probabilities, target: int) -> Curvature:
    """Return (1 - p_c)(Diag(pi) - pi pi^T), pi_k = p_k / (1 - p_c) but pi_c = 0 (Proposition 1)."""
    rest = p * (~leaves(p.shape[-1])[target]).to(p)
    mass = 1 - p[..., target]
    return mass[..., None, None] * label_covariance(rest / mass[..., None])


def information(
    jacobian: Float[Tensor, "*batch labels parameters"], curvature: Curvature
) -> Float[Tensor, "*batch parameters parameters"]:
    """Return J^T C J for each input."""
    return jacobian.transpose(-1, -2) @ curvature @ jacobian


def set_score(
    jacobian: Float[Tensor, "*batch labels parameters"], p: Probabilities, groups: Partition
) -> Float[Tensor, "*batch groups parameters"]:
    """Return s_Z = J^T (pi^g - p) for each group: the gradient of log q_g.

    With `leaves` it is s_Y. `fisher_network.scores` differentiates log q_g instead.

    Args:
        jacobian: J of the logits.
        p: probabilities of the leaves.
        groups: the partition g is a group of.

    Returns:
        A score for each group.
    """
    return (within(p, groups) - p[..., None, :]) @ jacobian


def expected_score(
    leaf_scores: Float[Tensor, "*batch labels parameters"], p: Probabilities, groups: Partition
) -> Float[Tensor, "*batch groups parameters"]:
    """Return E[s_Y | Z = g, X] = sum_k pi^g_k s_k. Lemma 1: it is s_Z.

    Args:
        leaf_scores: s_k of each leaf.
        p: probabilities of the leaves.
        groups: the partition g is a group of.

    Returns:
        A score for each group.
    """
    return within(p, groups) @ leaf_scores


def delta_variance(
    gradient: Float[Tensor, "*batch parameters"],
    information_matrix: Float[Tensor, "parameters parameters"],
) -> Float[Tensor, "*batch"]:
    """Return G I^-1 G^T: the variance of sqrt(n) (tau(theta_hat) - tau(theta)) by the delta method.

    I is the information of one sample, G the gradient of tau. A singular I is inverted on its
    range (directions that no label informs about); a G outside of it gets an infinite variance.
    """
    values, vectors = torch.linalg.eigh(information_matrix)
    tolerance = values.max().clamp(min=0) * len(values) * torch.finfo(values.dtype).eps * 10
    squares = (gradient @ vectors).square()
    seen = values > tolerance
    lost = squares[..., ~seen].sum(-1) > 1e-9 * squares.sum(-1)
    variance = (squares[..., seen] / values[seen]).sum(-1)
    return torch.where(lost, torch.inf, variance)
