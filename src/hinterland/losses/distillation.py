"""What a student learns from teachers: their probabilities, at the questions that they answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from hinterland.labels import Coarsening
from hinterland.losses.base import deep_supervision_weights
from hinterland.losses.marginal import GroupSums, dice_of, marginalise
from hinterland.losses.positions import positions


class TeacherLoss(nn.Module):
    """How far a student's group probabilities are from soft targets, at several questions.

    The student's channels are `cells`, p = softmax(logits). A question has groups g of cells with
    q_g = sum_{c in g} p_c, and a target t_g that sums to one over g: what teachers of this question
    say in the mean. Two terms, each the mean over questions weighted by their teachers:

    - "soft-ce": the mean over voxels of KL(t || q) = sum_g t_g log(t_g / q_g);
    - "soft-dice": 1 - mean_g (2 sum_v min(q, t) + s) / (sum_v (q + t) + s) over the foreground
      groups, which is zero at q = t (Wang et al. 2023, "Dice semimetric losses"; ordinary soft Dice
      is least where q is 0 or 1, whatever t).

    For a one-hot t they are the cross entropy and the soft Dice loss of `PartitionLoss`. What a
    teacher cannot tell apart it leaves to others: no cell inside a group has a gradient but that
    of the group. Lookup only, no parameters and no state.

    Args:
        questions: what the teachers answer, each once.
        teachers: how many teachers each of them has.
        cells: what the student's channels stand for.
        batch_dice: see `PartitionLoss`.

    Raises:
        LabelError: a question splits a cell of the student.
    """

    def __init__(
        self,
        questions: Sequence[Coarsening],
        teachers: Sequence[int],
        cells: Coarsening,
        *,
        batch_dice: bool = True,
    ) -> None:
        super().__init__()
        self.batch_dice = batch_dice
        self.shares = [count / sum(teachers) for count in teachers]
        self.foreground = [list(at.foreground) for at in questions]
        self.groups = [[np.flatnonzero(row).tolist() for row in at.over(cells)] for at in questions]

    def forward(self, levels: Sequence[Tensor], targets: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return both terms, summed over deep supervision levels with their weights.

        Args:
            levels: logits of the student (batch, cells, *space), highest resolution first.
            targets: t of each question (batch, groups, *space) at full resolution; at lower ones
                the nearest voxel's, as for labels.
        """
        terms = dict.fromkeys(
            ("soft-ce", "soft-dice"), levels[0].new_zeros((), dtype=torch.float32)
        )
        for weight, logits in zip(deep_supervision_weights(len(levels)), levels, strict=True):
            if not weight:
                continue
            log_p = logits.float().log_softmax(dim=1)
            for place, target in enumerate(targets):
                log_q = marginalise(log_p, self.groups[place])
                t = _resized(target.float(), tuple(logits.shape[2:]))
                share = weight * self.shares[place]
                terms["soft-ce"] = terms["soft-ce"] + share * divergence(log_q, t)
                dice = self._dice(log_q, t, self.foreground[place])
                terms["soft-dice"] = terms["soft-dice"] + share * dice
        return terms

    def _dice(self, log_q: Tensor, target: Tensor, foreground: list[int]) -> Tensor:
        chosen = positions(foreground, log_q)
        return soft_dice_semimetric(
            log_q[:, chosen].exp(), target[:, chosen], batch=self.batch_dice
        )


def divergence(
    log_q: Float[Tensor, "batch groups *space"], target: Float[Tensor, "batch groups *space"]
) -> Float[Tensor, ""]:
    """Return the mean over voxels of KL(t || q) = sum_g t_g (log t_g - log q_g).

    >>> target = torch.tensor([[[0.5, 1.0], [0.5, 0.0]]])
    >>> sure = torch.tensor([[[0.5, 0.25], [0.5, 0.75]]])
    >>> round(divergence(sure.log(), target).item(), 4)  # (0 + log 4) / 2
    0.6931
    """
    each = torch.special.xlogy(target, target) - target * log_q
    return each.sum(dim=1).mean()


def soft_dice_semimetric(
    q: Float[Tensor, "batch groups *space"],
    target: Float[Tensor, "batch groups *space"],
    *,
    batch: bool = True,
    smooth: float = 1e-5,
) -> Float[Tensor, ""]:
    """Return 1 - mean_g (2 sum min(q_g, t_g) + smooth) / (sum q_g + sum t_g + smooth).

    Zero where q equals t, soft or not; `soft_dice_loss` where t is 0 or 1.

    Args:
        q: probability of each group.
        target: t, another one.
        batch: sum over all items (of all processes), or over each; see `soft_dice_loss`.
        smooth: added to numerator and denominator.

    Returns:
        The loss, between 0 and 1.

    >>> half = torch.full((1, 1, 4), 0.5)
    >>> soft_dice_semimetric(half, half).item() == 0
    True
    >>> round(soft_dice_semimetric(half, torch.tensor([[[1.0, 0.0, 0.0, 0.0]]])).item(), 3)
    0.667
    """
    space = tuple(range(2, q.ndim))
    inside = target.sum(space)
    overlap = torch.minimum(q, target).sum(space)
    known = q.new_ones(q.shape[:2])
    sums = GroupSums(overlap, q.sum(space) + inside, inside, known).over_items(batch)
    return dice_of(sums, batch=batch, smooth=smooth)


def _resized(target: Tensor, shape: tuple[int, ...]) -> Tensor:
    if tuple(target.shape[2:]) == shape:
        return target
    return interpolate(target, size=shape, mode="nearest-exact")
