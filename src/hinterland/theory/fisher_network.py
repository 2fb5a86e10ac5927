"""The information of labels about a network's parameters: exact for small ones, else estimated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from hinterland.theory.fisher import Partition, factor, whole


def _parameters(network: nn.Module) -> dict[str, Tensor]:
    return {n: p.detach() for n, p in network.named_parameters()}


def _log_masses(
    network: nn.Module, weights: Mapping[str, Tensor], x: Tensor, groups: Partition
) -> Tensor:
    """Return (voxels, groups) log q_g of one batch; the network maps (B, C, ...) to (B, K, ...)."""
    logits = functional_call(network, dict(weights), (x,))
    log_p = logits.movedim(1, -1).flatten(0, -2).log_softmax(-1)
    return torch.stack([log_p[:, g].logsumexp(-1) for g in groups], dim=-1)


def _flat(jacobians: Mapping[str, Tensor], shape: tuple[int, int]) -> Tensor:
    return torch.cat([j.reshape(*shape, -1) for j in jacobians.values()], dim=-1)


def logits_and_jacobian(
    network: nn.Module, x: Tensor
) -> tuple[Float[Tensor, "voxels labels"], Float[Tensor, "voxels labels parameters"]]:
    """Compute f and J_f = df / dtheta by torch.func, for every voxel of a batch.

    All parameters are in a row, voxels x labels x parameters numbers: for small networks.
    """

    def logits(weights: dict[str, Tensor]) -> Tensor:
        out = functional_call(network, weights, (x,))
        return out.movedim(1, -1).flatten(0, -2)

    weights = _parameters(network)
    values = logits(weights)
    return values, _flat(jacrev(logits)(weights), (values.shape[0], values.shape[1]))


def scores(
    network: nn.Module, x: Tensor, groups: Partition
) -> Float[Tensor, "voxels groups parameters"]:
    """Return s_Z = d log q_g / dtheta for every voxel and group, differentiated as it stands.

    Args:
        network: maps (B, C, ...) to logits (B, K, ...).
        x: (B, C, ...), images.
        groups: the partition.

    Returns:
        A score for each voxel and group.
    """
    weights = _parameters(network)
    shape = tuple(_log_masses(network, weights, x, groups).shape)
    found = jacrev(lambda w: _log_masses(network, w, x, groups))(weights)
    return _flat(found, (shape[0], shape[1]))


@dataclass(frozen=True)
class Information:
    """Information per voxel about each parameter, as far as it was looked at.

    Attributes:
        diagonal: parameter name -> estimate of diag(J^T C J), averaged over voxels.
        traces: the trace, averaged over voxels, once a probe; their mean is `trace`.
    """

    diagonal: dict[str, Tensor]
    traces: Tensor

    @property
    def trace(self) -> float:
        """Sum of the diagonal."""
        return float(self.traces.mean())

    @property
    def standard_error(self) -> float:
        """The standard error of `trace`, from the spread over the probes."""
        return float(self.traces.std() / len(self.traces) ** 0.5)


def estimate_information(
    network: nn.Module,
    x: Tensor,
    fine: Partition,
    coarse: Partition | None = None,
    *,
    probes: int = 8,
    seed: int = 0,
) -> Information:
    """Estimate diagonal and trace of E_v[J^T C(fine | coarse) J] by Hutchinson.

    Args:
        network: maps (B, C, ...) to logits (B, K, ...).
        x: (B, C, ...), whose voxels are v.
        fine: the finer partition.
        coarse: the coarser one; None is one group, that is the information of `fine` itself.
        probes: random signs to average over; see `estimate`.
        seed: of the signs.

    Returns:
        Diagonal and trace.
    """

    def root(p: Tensor) -> Tensor:
        top = whole(p.shape[-1]) if coarse is None else coarse
        return factor(p, fine.to(p.device), top.to(p.device))

    return estimate(network, x, root, probes=probes, seed=seed)


def estimate_sensitivity(
    network: nn.Module, x: Tensor, group: Tensor, *, probes: int = 8, seed: int = 0
) -> Information:
    """Estimate the diagonal of E_v[G^T G].

    G = dq/dtheta for the mass q of the labels in `group`.

    Args:
        network: maps (B, C, ...) to logits (B, K, ...).
        x: (B, C, ...), images.
        group: (K,), 1 for the labels whose mass is q.
        probes: random signs to average over; see `estimate`.
        seed: of the signs.

    Returns:
        Diagonal and trace.
    """

    def root(p: Tensor) -> Tensor:
        inside = group.to(p)
        mass = (p * inside).sum(-1, keepdim=True)
        return (p * (inside - mass))[..., None]  # dq/df = p (1[in group] - q)

    return estimate(network, x, root, probes=probes, seed=seed)


def estimate(
    network: nn.Module,
    x: Tensor,
    root: Callable[[Tensor], Tensor],
    *,
    probes: int = 8,
    seed: int = 0,
) -> Information:
    """Estimate diagonal and trace of E_v[J^T C J], C = L L^T, L = root(p), over voxels v.

    For independent random signs u, E[(J^T L u)(J^T L u)^T] = J^T C J. Signs that are independent
    between voxels make the cross terms vanish, so one backward pass of the whole batch is one
    probe: d = sum_v J_v^T L_v u_v, and d * d estimates the diagonal, |d|^2 the trace.

    Args:
        network: maps (B, C, ...) to logits (B, K, ...); its mode and gradients are left as they
            are.
        x: (B, C, ...), whose voxels are v.
        root: maps p (voxels, K) in float64 to L (voxels, K, m).
        probes: random signs to average over.
        seed: of the signs.

    Returns:
        Diagonal and trace.
    """
    named = dict(network.named_parameters())
    weights = list(named.values())
    wanted = [w.requires_grad for w in weights]
    generator = torch.Generator(x.device).manual_seed(seed)
    for w in weights:
        w.requires_grad_(True)
    try:
        logits = network(x).movedim(1, -1).flatten(0, -2)
        columns = root(logits.detach().double().softmax(-1)).to(logits.dtype)
        squares, traces = [torch.zeros_like(w) for w in weights], []
        shape = (columns.shape[0], columns.shape[-1])
        for probe in range(probes):
            coin = torch.randint(2, shape, generator=generator, device=x.device)
            direction = (columns @ (2 * coin - 1).to(columns)[..., None])[..., 0]
            found = torch.autograd.grad(
                logits, weights, direction, retain_graph=probe < probes - 1, allow_unused=True
            )
            traces.append(
                sum(float(g.double().square().sum()) for g in found if g is not None) / shape[0]
            )
            for total, g in zip(squares, found, strict=True):
                if g is not None:
                    total += g.square() / (probes * shape[0])
    finally:
        for w, flag in zip(weights, wanted, strict=True):
            w.requires_grad_(flag)
    diagonal = {n: s.detach() for n, s in zip(named, squares, strict=True)}
    return Information(diagonal, torch.tensor(traces, dtype=torch.float64))
