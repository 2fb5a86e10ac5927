"""Dice and cross entropy against soft targets, whose mass at a voxel may be less than one."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from hinterland.losses.positions import positions
from hinterland.losses.reduce import all_sum


def soft_cross_entropy(
    log_p: Float[Tensor, "batch cells *space"], target: Float[Tensor, "batch cells *space"]
) -> Float[Tensor, ""]:
    """Return -sum_v sum_c t_vc log p_vc / N, N the number of voxels with any mass; 0 if none has.

    A voxel whose target has the mass w = sum_c t_c weighs w: what is not known of it is not
    learned. For one-hot targets this is the ordinary cross entropy.

    >>> import torch
    >>> log_p = torch.tensor([[[0.5], [0.25], [0.25]]]).log()
    >>> sure = torch.tensor([[[1.0], [0.0], [0.0]]])
    >>> round(soft_cross_entropy(log_p, sure).item(), 4)
    0.6931
    >>> round(soft_cross_entropy(log_p, sure / 2).item(), 4)
    0.3466
    """
    count = (target.sum(dim=1) > 0).sum().to(log_p.dtype)
    return all_sum(-(target * log_p).sum()) / all_sum(count).clamp(min=1)


def soft_target_dice_loss(
    p: Float[Tensor, "batch cells *space"],
    target: Float[Tensor, "batch cells *space"],
    cells: list[int],
    *,
    smooth: float = 1e-5,
) -> Float[Tensor, ""]:
    """Return 1 - mean_c (2 sum p_c t_c + smooth) / (sum w p_c + sum t_c + smooth), c in `cells`.

    Sums run over the voxels of all items (of all processes); w is the mass of the target at a
    voxel, so that voxels without a target count nowhere. For one-hot targets this is
    `soft_dice_loss` over a batch.

    Args:
        p: probabilities.
        target: t, a soft target; all zero where there is none.
        cells: the channels that count.
        smooth: added to numerator and denominator.

    Returns:
        The loss, between 0 and 1.

    >>> import torch
    >>> p = torch.tensor([[[0.5, 1.0], [0.5, 0.0]]])
    >>> target = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    >>> round(soft_target_dice_loss(p, target, [1]).item(), 4)
    0.3333
    """
    mass = target.sum(dim=1, keepdim=True)
    chosen = positions(cells, p)
    p, target = p[:, chosen], target[:, chosen]
    space = (0, *range(2, p.ndim))
    overlap = all_sum((p * target).sum(space))
    size = all_sum((mass * p).sum(space) + target.sum(space))
    return (1 - (2 * overlap + smooth) / (size + smooth)).mean()
