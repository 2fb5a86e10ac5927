"""Muon for convolutional networks: steps of hidden weights are orthogonal matrices.

Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon). `torch.optim.Muon` takes matrices
only; here a convolution's weight is the matrix (outputs, inputs x kernel).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from hinterland.networks.roles import hidden_weights

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients (a, b, c) of p(s) = a s + b s^3 + c s^5, which takes (0, 1] to about [0.7, 1.2]."""
ITERATIONS = 5
SMALLEST_NORM = 1e-7


def orthogonalise(matrices: Tensor) -> Tensor:
    """Take the singular values of each matrix to about one by five Newton-Schulz iterations.

    With G / |G| = U diag(s) V^T the result is U diag(p(p(p(p(p(s)))))) V^T. It is computed in
    float32 whatever autocast says.

    Args:
        matrices: (batch, rows, columns), of any floating type.

    Returns:
        float32, of the same shape.
    """
    with torch.autocast(matrices.device.type, enabled=False):
        x = matrices.float()
        tall = x.shape[-2] > x.shape[-1]
        x = x.mT if tall else x
        x = x / x.flatten(1).norm(dim=1).clamp_min(SMALLEST_NORM)[:, None, None]
        x = iterate_gram(x) if x.device.type == "cpu" else iterate(x)
        return x.mT if tall else x


def iterate(x: Tensor) -> Tensor:
    """Apply p to the singular values, five times: X <- (a + b A + c A^2) X with A = X X^T.

    Each iteration sees the matrix itself, so that it forgives the rounding of the one before. On
    accelerators, whose products of float32 may be rounded to TF32, nothing else will do.

    Args:
        x: (batch, rows, columns), wide, of a norm of at most 1.

    Returns:
        The matrices after five iterations.
    """
    a, b, c = QUINTIC
    for _ in range(ITERATIONS):
        gram = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def iterate_gram(x: Tensor) -> Tensor:
    """Do what `iterate` does on the Gram matrix of the shorter side, for exact float32.

    X_k = Q_k X_0, Q_(k+1) = (a + b A_k + c A_k^2) Q_k and A_(k+1) = (.) A_k (.), where
    A_k = X_k X_k^T. It costs two products with the whole matrix instead of ten. What is rounded in
    A_k stays: with the 8 or 11 bits of bf16 or TF32, and gradients whose singular values fall
    quickly, the result was up to 16,000 times too large.

    Args:
        x: (batch, rows, columns), wide, of a norm of at most 1.

    Returns:
        The matrices after five iterations.
    """
    # `bmm` takes the matrices as they are; `@` would reshape them there and back.
    a, b, c = QUINTIC
    gram = torch.bmm(x, x.mT)
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    transform: Tensor | None = None
    for iteration in range(ITERATIONS):
        factor = a * identity + torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        transform = factor if transform is None else torch.bmm(factor, transform)
        if iteration < ITERATIONS - 1:
            gram = torch.bmm(torch.bmm(factor, gram), factor)
    assert transform is not None
    return torch.bmm(transform, x)


class Muon(torch.optim.Optimizer):
    """Muon on the hidden weights, AdamW on all others, as groups of one optimiser.

    A group with `axis` (the axis of outputs, see `hidden_weights`) is stepped by Muon with
    momentum B <- mu B + (1 - mu) G in Nesterov's form, U = orthogonalise((1 - mu) G + mu B) and
    W <- (1 - lr decay) W - lr sqrt(max(1, rows / columns)) U. A group with `axis` None is stepped
    by AdamW. `lr_share` of a group says which share of the scheduled rate it steps with.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float, **defaults: Any) -> None:
        super().__init__(
            groups,
            {
                "lr": lr, "lr_share": 1.0, "axis": None, "momentum": 0.95, "weight_decay": 0.0,
                "betas": (0.9, 0.95), "eps": 1e-8, **defaults,
            },
        )  # fmt: skip

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Step every weight that has a gradient; return the closure's value, if one is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if group["axis"] is None:
                self._step_adamw(group, weights)
            else:
                self._step_muon(group, weights)
        return loss

    def _step_muon(self, group: dict[str, Any], weights: list[nn.Parameter]) -> None:
        if not weights:
            return
        momentum, rate = group["momentum"], group["lr"]
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
        gradients = [w.grad for w in weights if w.grad is not None]
        buffers = [self.state[w]["momentum_buffer"] for w in weights]
        # One call for all weights: on an accelerator a call costs more than what it computes.
        torch._foreach_lerp_(buffers, gradients, 1 - momentum)
        directions = torch._foreach_lerp(gradients, buffers, momentum)
        alike: dict[tuple[Any, ...], list[int]] = {}
        for i, direction in enumerate(directions):
            shape = direction.movedim(group["axis"], 0).shape
            alike.setdefault((direction.device, shape), []).append(i)
        steps: list[Tensor] = list(directions)
        for (_, shape), members in alike.items():
            rows, columns = shape[0], math.prod(shape[1:])
            moved = [directions[i].movedim(group["axis"], 0) for i in members]
            found = orthogonalise(torch.stack([d.reshape(rows, columns) for d in moved]))
            found = found * math.sqrt(max(1.0, rows / columns))
            for i, step in zip(members, found.view(-1, *shape).unbind(), strict=True):
                steps[i] = step.movedim(0, group["axis"])
        stepped: list[Tensor] = list(weights)
        torch._foreach_mul_(stepped, 1 - rate * group["weight_decay"])
        torch._foreach_add_(stepped, steps, alpha=-rate)

    def _step_adamw(self, group: dict[str, Any], weights: list[nn.Parameter]) -> None:
        for weight in weights:
            if not self.state[weight]:
                self.state[weight] |= {
                    "step": torch.zeros(()),
                    "exp_avg": torch.zeros_like(weight),
                    "exp_avg_sq": torch.zeros_like(weight),
                }
        states = [self.state[w] for w in weights]
        adamw(
            list(weights),
            [w.grad for w in weights if w.grad is not None],
            [s["exp_avg"] for s in states],
            [s["exp_avg_sq"] for s in states],
            [],
            [s["step"] for s in states],
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
            # On the CPU one weight after the other was no slower, and keeps earlier figures.
            foreach=all(w.device.type == "cuda" for w in weights),
        )


def groups_by_role(
    parameters: Iterable[nn.Parameter], networks: nn.Module, adam_share: float
) -> list[dict[str, Any]]:
    """Group parameters for `Muon`: hidden weights by axis of outputs, and the rest for AdamW.

    Args:
        parameters: what is trained.
        networks: the modules that tell which parameters are hidden weights; parameters of other
            modules are the rest.
        adam_share: the share of the learning rate that AdamW steps with.

    Returns:
        Parameter groups with "axis" (None for AdamW) and "lr_share".
    """
    axes = {id(weight): axis for weight, axis in hidden_weights(networks)}
    parts: dict[int | None, list[nn.Parameter]] = {0: [], 1: [], None: []}
    for parameter in parameters:
        parts[axes.get(id(parameter))].append(parameter)
    shares = {0: 1.0, 1: 1.0, None: adam_share}
    return [
        {"params": members, "axis": axis, "lr_share": shares[axis]}
        for axis, members in parts.items()
        if members
    ]
