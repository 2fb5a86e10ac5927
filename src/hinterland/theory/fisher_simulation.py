"""Corollary 1 by simulation: many fits with full labels, and with coarse ones, of one model.

The model is a softmax that is linear in its parameters, f(x) = B(x) theta. With
`multinomial_design` it is multinomial logistic regression.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hinterland.theory.fisher import Partition, added, delta_variance, information, leaves, whole

Design = Float[Tensor, "samples labels parameters"]


def multinomial_design(
    x: Float[Tensor, "samples features"], labels: int
) -> Float[Tensor, "samples labels parameters"]:
    """Return B(x) of multinomial logistic regression: constant and x for all labels but one.

    The label left out is the first.
    """
    row = torch.cat([torch.ones(len(x), 1, dtype=x.dtype), x], dim=1)
    choose = torch.eye(labels, dtype=x.dtype)[:, 1:]
    return torch.einsum("nf,kj->nkjf", row, choose).flatten(2)


def mean_information(
    theta: Float[Tensor, "parameters"], design: Design, groups: Partition
) -> Float[Tensor, "parameters parameters"]:
    """Compute the expected information of one sample's group label, averaged over the design.

    Args:
        theta: parameters.
        design: the rows of each sample and label.
        groups: the partition.

    Returns:
        The matrix.
    """
    p = (design @ theta).softmax(-1)
    return information(design, added(p, groups, whole(p.shape[-1]))).mean(0)


def maximise(
    start: Float[Tensor, "parameters"],
    design: Design,
    groups: Partition,
    observed: Float[Tensor, "fits samples groups"],
    steps: int = 60,
) -> Float[Tensor, "fits parameters"]:
    """Maximise the likelihood of group labels (one-hot), one fit a row, by damped Fisher scoring.

    Starting at the true parameters finds the maximum near them, which is the consistent one.

    Args:
        start: parameters at which all fits begin.
        design: the rows of each sample and label.
        groups: the partition.
        observed: the group of each sample, one-hot.
        steps: at most.

    Returns:
        The maxima.

    Raises:
        ValueError: a fit has not converged.
    """
    fits = len(observed)
    theta = start.expand(fits, -1).clone()
    damping = torch.full((fits, 1, 1), 1e-3, dtype=start.dtype)
    eye = torch.eye(len(start), dtype=start.dtype)

    def likelihood(at: Tensor) -> Tensor:
        log_p = torch.einsum("nkp,rp->rnk", design, at).log_softmax(-1)
        log_q = torch.stack([log_p[..., g].logsumexp(-1) for g in groups], dim=-1)
        return (observed * log_q).sum((1, 2))

    now = likelihood(theta)
    gradient = torch.zeros_like(theta)
    for _ in range(steps):
        p = torch.einsum("nkp,rp->rnk", design, theta).softmax(-1)
        q = p @ groups.to(p).T
        posterior = p * ((observed / q) @ groups.to(p))  # pi^g of the group observed
        gradient = torch.einsum("nkp,rnk->rp", design, posterior - p)
        score_rows = torch.einsum("rnk,nkp->rnp", posterior - p, design)
        curvature = score_rows.transpose(1, 2) @ score_rows
        scale = torch.diagonal(curvature, dim1=1, dim2=2).mean(-1)[:, None, None]
        step = torch.linalg.solve(curvature + damping * scale * eye, gradient[..., None])[..., 0]
        tried = likelihood(theta + step)
        better = tried >= now
        theta = torch.where(better[:, None], theta + step, theta)
        now = torch.where(better, tried, now)
        damping = torch.where(better[:, None, None], damping / 4, damping * 8).clamp(1e-12, 1e6)
        if float(step.norm(dim=1).max()) < 1e-7:
            break
    size = gradient.norm(dim=1) / design.shape[0]
    if float(size.max()) > 1e-4:
        raise ValueError(f"{int((size > 1e-4).sum())} of {fits} fits did not converge.")
    return theta


@dataclass(frozen=True)
class Simulation:
    """n Var(tau_hat) at each point asked, from fits and by the delta method."""

    full: Float[Tensor, "points"]
    coarse: Float[Tensor, "points"]
    predicted_full: Float[Tensor, "points"]
    predicted_coarse: Float[Tensor, "points"]


def simulate(
    theta: Float[Tensor, "parameters"],
    design: Design,
    at: Float[Tensor, "points labels parameters"],
    groups: Partition,
    target: int,
    *,
    fits: int = 400,
    seed: int = 0,
) -> Simulation:
    """Draw labels from the model, fit with all of them and with their groups, and compare tau.

    tau(theta) = p_target(x_0), for the points whose design rows are `at`.

    Args:
        theta: true parameters.
        design: the rows of each sample and label.
        at: the rows of the points x_0.
        groups: the partition.
        target: the label whose probability is tau.
        fits: data sets that are drawn.
        seed: of the draws.

    Returns:
        Errors of both estimators, and what the theory says of them.
    """
    generator = torch.Generator().manual_seed(seed)
    p = (design @ theta).softmax(-1)
    labels = torch.multinomial(p, fits, replacement=True, generator=generator).T
    one_hot = torch.eye(p.shape[-1], dtype=p.dtype)[labels]

    def tau(parameters: Tensor) -> Tensor:
        return torch.einsum("mkp,rp->rmk", at, parameters).softmax(-1)[..., target]

    found = []
    predicted = []
    probability = (at @ theta).softmax(-1)
    ahead = leaves(p.shape[-1]).to(p)[target] - probability
    gradient = probability[:, target, None] * torch.einsum("mk,mkp->mp", ahead, at)
    for partition in (leaves(p.shape[-1]), groups):
        observed = one_hot @ partition.to(p).T
        estimates = torch.cat(
            [maximise(theta, design, partition, part) for part in observed.split(50)]
        )
        found.append(len(design) * tau(estimates).var(0))
        predicted.append(delta_variance(gradient, mean_information(theta, design, partition)))
    return Simulation(found[0], found[1], predicted[0], predicted[1])
