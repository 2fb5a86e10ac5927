"""Distances between two predictions of one image, by which consistency is asked for."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from hinterland.losses.reduce import all_sum


def certain_mse(
    p: Float[Tensor, "batch cells *space"],
    target: Float[Tensor, "batch cells *space"],
    mean: Float[Tensor, "batch cells *space"],
    limit: float,
) -> Float[Tensor, ""]:
    """Return UA-MT's squared difference over the voxels of low uncertainty.

    sum_v [u_v < H] mean_c (p - p')^2 / sum_v [u_v < H], u = -sum_c m_c log m_c; 0 without any.

    Args:
        p: probabilities of the student.
        target: p', those of the teacher.
        mean: m, the mean of several noisy predictions of the teacher.
        limit: H, in nats.

    Returns:
        The loss.

    >>> p = torch.tensor([[[0.9, 0.5], [0.1, 0.5]]])
    >>> target = torch.tensor([[[0.7, 0.9], [0.3, 0.1]]])
    >>> mean = torch.tensor([[[0.95, 0.5], [0.05, 0.5]]])
    >>> round(certain_mse(p, target, mean, limit=0.5).item(), 4)
    0.04
    """
    certain = torch.special.entr(mean).sum(dim=1) < limit
    apart = all_sum(((p - target).square().mean(dim=1) * certain).sum())
    return apart / all_sum(certain.sum()).clamp(min=1)


def rectified_consistency(
    p: Float[Tensor, "scales batch cells *space"],
) -> Float[Tensor, ""]:
    """Return URPC's L_u of the predictions of several scales.

    With D_s = sum_c p_s log(p_s / m) and m the mean of the scales,
    1/S sum_s (sum_v exp(-D_s) mean_c (p_s - m)^2 / sum_v exp(-D_s) + mean_v D_s).

    Equal predictions cost nothing:

    >>> import torch
    >>> abs(rectified_consistency(torch.full((3, 1, 2, 4, 4), 0.5)).item()) < 1e-6
    True
    """
    mean = p.mean(dim=0, keepdim=True)
    strays = (p * (p.clamp(min=1e-6).log() - mean.clamp(min=1e-6).log())).sum(dim=2)
    trust = (-strays).exp()
    voxels = tuple(range(1, strays.ndim))
    distance = ((p - mean).square().mean(dim=2) * trust).sum(voxels) / trust.sum(voxels)
    return (distance + strays.mean(voxels)).mean()


def dice_distance(
    logits: Float[Tensor, "batch cells *space"], p: Float[Tensor, "batch cells *space"]
) -> Float[Tensor, ""]:
    """Return SS-Net's 1 - mean_c 2 sum p q / sum (p^2 + q^2), q = softmax(logits).

    It is 0 where q is p, however soft both are.

    >>> p = torch.tensor([[[0.75], [0.25]]])
    >>> abs(dice_distance(p.log(), p).item()) < 1e-6
    True
    >>> round(dice_distance(torch.zeros(1, 2, 1), p).item(), 4)
    0.1385
    """
    q = logits.float().softmax(dim=1)
    space = (0, *range(2, p.ndim))
    overlap = all_sum((p * q).sum(space))
    size = all_sum((p.square() + q.square()).sum(space))
    return 1 - (2 * overlap / size.clamp(min=1e-8)).mean()


def sharpen(
    logits: Float[Tensor, "batch cells *space"], temperature: float
) -> Float[Tensor, "batch cells *space"]:
    """Return MC-Net's target p^(1/T) / sum p^(1/T) = softmax(logits / T), without gradient.

    >>> logits = torch.tensor([[[0.6], [0.4]]]).log()
    >>> [round(value, 4) for value in sharpen(logits, 0.5).flatten().tolist()]
    [0.6923, 0.3077]
    """
    return (logits.detach() / temperature).softmax(dim=1)
