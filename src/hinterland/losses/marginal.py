"""Marginal cross entropy and Dice: what an annotation by sets of leaves says at a coarsening.

Notation of the project: cells are the channels of the network, p = softmax(logits) over cells; a
coarsening has groups g of cells with q_g = sum_{c in g} p_c; a voxel is annotated with a set S of
leaves, given by its number in the data set's table of label sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hinterland.losses.positions import positions
from hinterland.losses.reduce import all_sum

IGNORE = -1


def marginalise(
    log_p: Float[Tensor, "batch cells *space"], groups: Sequence[Sequence[int]]
) -> Float[Tensor, "batch groups *space"]:
    """Return log q_g = logsumexp_{c in g} log p_c for groups of cells, which may overlap.

    Args:
        log_p: log_softmax of the logits; no probability is rounded to zero before its logarithm.
        groups: positions of the cells of each group.

    >>> log_p = torch.tensor([0.2, 0.3, 0.5]).log().view(1, 3, 1)
    >>> [round(q, 3) for q in marginalise(log_p, [[0], [1, 2]]).exp().flatten().tolist()]
    [0.2, 0.8]
    """
    # All columns are taken at once: taken one by one, each has a gradient as large as log_p.
    columns = _columns(log_p, [cell for group in groups for cell in group])
    if all(len(group) == 1 for group in groups):
        return columns
    parts = columns.split([len(group) for group in groups], dim=1)
    return torch.cat(
        [p if p.shape[1] == 1 else p.logsumexp(dim=1, keepdim=True) for p in parts], dim=1
    )


def _columns(x: Tensor, index: list[int]) -> Tensor:
    """Return x[:, index]; without a copy where the indices are consecutive."""
    if index == list(range(index[0], index[0] + len(index))):
        return x.narrow(1, index[0], len(index))
    return x.index_select(1, positions(index, x))


def marginal_cross_entropy(
    log_mass: Float[Tensor, "batch patterns *space"], target: Int[Tensor, "batch *space"]
) -> Float[Tensor, ""]:
    """Return the mean over decided voxels of -log sum_{k in S} p_k; zero if none is decided.

    Args:
        log_mass: log-probability of each set of groups that occurs as an annotation (a "pattern").
        target: the pattern of each voxel; IGNORE where any group is possible.

    >>> log_mass = torch.tensor([[0.25, 0.75], [0.5, 0.5]]).log().T[None]
    >>> round(marginal_cross_entropy(log_mass, torch.tensor([[0, IGNORE]])).item(), 4)
    1.3863
    """
    total = F.nll_loss(log_mass, target, ignore_index=IGNORE, reduction="sum")
    return mean_over_decided(total, target != IGNORE)


def marginal_focal_loss(
    log_mass: Float[Tensor, "batch patterns *space"],
    target: Int[Tensor, "batch *space"],
    gamma: float = 2.0,
) -> Float[Tensor, ""]:
    """Return the mean over decided voxels of -(1 - m)^gamma log m, m = sum_{k in S} p_k.

    The focal loss of Lin et al. 2017 for annotations by sets; for gamma = 0 it is
    `marginal_cross_entropy`.

    Args:
        log_mass: log m_S of each pattern S.
        target: the pattern of each voxel, or `IGNORE`.
        gamma: how much well predicted voxels are played down.

    Returns:
        The loss; 0 without a decided voxel.

    >>> log_mass = torch.tensor([[[0.5, 0.9]]]).log()
    >>> target = torch.zeros(1, 2, dtype=torch.long)
    >>> round(marginal_focal_loss(log_mass, target).item(), 4)
    0.0872
    >>> round(marginal_focal_loss(log_mass, target, gamma=0.0).item(), 4)
    0.3993
    """
    log_m = log_mass.gather(1, target.clamp(min=0)[:, None])[:, 0]
    return focal_of(log_m, target != IGNORE, gamma)


def focal_of(
    log_m: Float[Tensor, "batch *space"], decided: Bool[Tensor, "batch *space"], gamma: float = 2.0
) -> Float[Tensor, ""]:
    """Return `marginal_focal_loss` of the log-probability of what each voxel is annotated with.

    Args:
        log_m: that log-probability.
        decided: where the annotation says something.
        gamma: how much well predicted voxels are played down.

    Returns:
        The loss; 0 without a decided voxel.
    """
    focus = (-torch.expm1(log_m)).clamp(min=0) ** gamma
    return mean_over_decided((-(focus * log_m) * decided).sum(), decided)


def mean_over_decided(
    total: Float[Tensor, ""], decided: Bool[Tensor, "batch *space"]
) -> Float[Tensor, ""]:
    """Return a sum over voxels by the number of decided ones; 0 where none is."""
    return all_sum(total) / all_sum(decided.sum().to(total.dtype)).clamp(min=1)


def soft_dice_loss(
    q: Float[Tensor, "batch groups *space"],
    member: Float[Tensor, "batch groups *space"],
    decided: Float[Tensor, "batch groups *space"] | None = None,
    *,
    batch: bool = True,
    smooth: float = 1e-5,
) -> Float[Tensor, ""]:
    """Return 1 - mean_g (2 sum q_g y_g + smooth) / (sum q_g + sum y_g + smooth).

    Sums run over decided voxels; groups without one are left out of the mean.

    Args:
        q: probability of each group.
        member: y, 1 where the voxel is inside the group.
        decided: 1 where that is known; None means everywhere.
        batch: sum over all items (of all processes), as nnU-Net does where patches are small
            against the image; otherwise over each item, and the mean runs over items too.
        smooth: added to numerator and denominator.

    Returns:
        The loss, between 0 and 1.

    >>> q = torch.tensor([[[0.5, 0.5, 0.0, 0.0]]])
    >>> round(soft_dice_loss(q, torch.tensor([[[1.0, 0.0, 0.0, 0.0]]])).item(), 3)
    0.5
    """
    return dice_of(group_sums(q, member, decided, batch=batch), batch=batch, smooth=smooth)


def soft_tversky_loss(
    q: Float[Tensor, "batch groups *space"],
    member: Float[Tensor, "batch groups *space"],
    decided: Float[Tensor, "batch groups *space"] | None = None,
    *,
    batch: bool = True,
    alpha: float = 0.3,
    beta: float = 0.7,
    smooth: float = 1e-5,
) -> Float[Tensor, ""]:
    """Return 1 - mean_g (TP + smooth) / (TP + alpha FP + beta FN + smooth), Salehi et al. 2017.

    TP = sum q y, FP = sum q (1 - y), FN = sum (1 - q) y over decided voxels; with alpha = beta = .5
    it is `soft_dice_loss` but for the smoothing.

    Args:
        q: probability of each group.
        member: y, 1 where the voxel is inside the group.
        decided: 1 where that is known; None means everywhere.
        batch: sum over all items (of all processes), or over each item; see `soft_dice_loss`.
        alpha: weight of false positives.
        beta: weight of false negatives.
        smooth: added to numerator and denominator.

    Returns:
        The loss, between 0 and 1.

    >>> q = torch.tensor([[[1.0, 0.5, 0.0, 0.0]]])
    >>> member = torch.tensor([[[1.0, 0.0, 0.0, 0.0]]])
    >>> round(soft_tversky_loss(q, member, alpha=0.5, beta=0.5).item(), 3)
    0.2
    >>> round(soft_tversky_loss(q, member).item(), 3)
    0.13
    """
    sums = group_sums(q, member, decided, batch=batch)
    return tversky_of(sums, batch=batch, alpha=alpha, beta=beta, smooth=smooth)


class GroupSums(NamedTuple):
    """Sums over decided voxels, of each group and of each item (or of all items).

    overlap is sum q y, size is sum (q + y), inside is sum y; known is 1 where there is such a
    voxel.
    """

    overlap: Tensor
    size: Tensor
    inside: Tensor
    known: Tensor

    def over_items(self, batch: bool) -> GroupSums:
        """Return the sums over all items (of all processes) if `batch`, `known` as 0 or 1."""
        sums = GroupSums(*(all_sum(t.sum(0)) for t in self)) if batch else self
        return sums._replace(known=(sums.known > 0).to(sums.size.dtype))


def dice_of(sums: GroupSums, *, batch: bool = True, smooth: float = 1e-5) -> Float[Tensor, ""]:
    """Return `soft_dice_loss` of its sums.

    Args:
        sums: from `group_sums`.
        batch: whether they are over all items.
        smooth: added to both sides of the fraction.

    Returns:
        The loss.
    """
    dice = (2 * sums.overlap + smooth) / (sums.size + smooth)
    return _mean_over_groups(1 - dice, sums.known, batch)


def tversky_of(
    sums: GroupSums,
    *,
    batch: bool = True,
    alpha: float = 0.3,
    beta: float = 0.7,
    smooth: float = 1e-5,
) -> Float[Tensor, ""]:
    """Return `soft_tversky_loss` of its sums.

    Args:
        sums: from `group_sums`.
        batch: whether they are over all items.
        alpha: weight of false positives.
        beta: weight of false negatives.
        smooth: added to both sides of the fraction.

    Returns:
        The loss.
    """
    overlap, size, inside, known = sums
    errors = alpha * (size - inside - overlap) + beta * (inside - overlap)
    return _mean_over_groups(1 - (overlap + smooth) / (overlap + errors + smooth), known, batch)


def group_sums(
    q: Tensor, member: Tensor, decided: Tensor | None = None, *, batch: bool = True
) -> GroupSums:
    """Return the sums that Dice and Tversky are made of.

    Args:
        q: probability of each group.
        member: 1 where the voxel is inside the group.
        decided: 1 where that is known; None means everywhere.
        batch: sum over all items (of all processes) instead of for each.

    Returns:
        The sums of each group.
    """
    space = tuple(range(2, q.ndim))
    known = q.new_ones(q.shape[:2]) if decided is None else decided.amax(space)
    if decided is not None:
        q, member = q * decided, member * decided
    inside = member.sum(space)
    overlap, size = (q * member).sum(space), q.sum(space) + inside
    return GroupSums(overlap, size, inside, known).over_items(batch)


def _mean_over_groups(values: Tensor, known: Tensor, batch: bool) -> Tensor:
    total, count = (values * known).sum(), known.sum()
    if not batch:
        total, count = all_sum(total), all_sum(count)
    return total / count.clamp(min=1)
