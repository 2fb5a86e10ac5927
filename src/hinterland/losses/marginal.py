"""Marginal cross entropy and Dice: what an annotation by sets of leaves says at a coarsening.

Notation of the project: cells are the channels of the network, p = softmax(logits) over cells; a
coarsening has groups g of cells with q_g = sum_{c in g} p_c; a voxel is annotated with a set S of
leaves, given as a row of the data set's table.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from hinterland.losses.reduce import all_sum

IGNORE = -1


def marginalise(
    log_p: Float[Tensor, "batch cells *space"], groups: Sequence[Sequence[int]]
) -> Float[Tensor, "batch groups *space"]:
    """log q_g = logsumexp_{c in g} log p_c for groups of cells, which may overlap.

    log_p: log_softmax of the logits; a probability is never rounded to zero before its logarithm.
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
    """x[:, index]; without a copy where the indices are consecutive."""
    if index == list(range(index[0], index[0] + len(index))):
        return x.narrow(1, index[0], len(index))
    return x.index_select(1, torch.tensor(index, device=x.device))


def marginal_cross_entropy(
    log_mass: Float[Tensor, "batch patterns *space"], target: Int[Tensor, "batch *space"]
) -> Float[Tensor, ""]:
    """Mean over decided voxels of -log sum_{k in S} p_k.

    log_mass: log-probability of each set of groups that occurs as an annotation (a "pattern").
    target: the pattern of each voxel; IGNORE where any group is possible. Zero if all are ignored.
    """
    total = F.nll_loss(log_mass, target, ignore_index=IGNORE, reduction="sum")
    count = (target != IGNORE).sum().to(total.dtype)
    return all_sum(total) / all_sum(count).clamp(min=1)


def soft_dice_loss(
    q: Float[Tensor, "batch groups *space"],
    member: Float[Tensor, "batch groups *space"],
    decided: Float[Tensor, "batch groups *space"] | None = None,
    *,
    batch: bool = True,
    smooth: float = 1e-5,
) -> Float[Tensor, ""]:
    """1 - mean_g (2 sum q_g y_g + smooth) / (sum q_g + sum y_g + smooth), sums over decided voxels.

    member: y, 1 where the voxel is inside the group. decided: 1 where that is known; None means
    everywhere. With `batch` the sums run over all items (of all processes), as nnU-Net does where
    patches are small against the image; otherwise over each item, and the mean runs over items
    too. Groups without a decided voxel are left out of the mean.
    """
    space = tuple(range(2, q.ndim))
    known = q.new_ones(q.shape[:2]) if decided is None else decided.amax(space)
    if decided is not None:
        q, member = q * decided, member * decided
    overlap, size = (q * member).sum(space), q.sum(space) + member.sum(space)
    if batch:
        overlap, size, known = (all_sum(t.sum(0)) for t in (overlap, size, known))
    known = (known > 0).to(q.dtype)
    dice = (2 * overlap + smooth) / (size + smooth)
    total, count = ((1 - dice) * known).sum(), known.sum()
    if not batch:
        total, count = all_sum(total), all_sum(count)
    return total / count.clamp(min=1)
