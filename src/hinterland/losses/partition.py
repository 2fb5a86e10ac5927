"""Dice + cross entropy at one coarsening, for voxels that point at rows of a leaf-set table."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hinterland.labels import Coarsening, LabelSetTable
from hinterland.losses.marginal import (
    IGNORE,
    marginal_cross_entropy,
    marginalise,
    soft_dice_loss,
)


class PartitionLoss(nn.Module):
    """The loss that sees the partition `at`, of a network whose channels are `cells`.

    For an annotation S the groups that S touches are possible: the cross entropy is
    -log of their summed probability, the usual one where S lies in a single group, nothing where S
    touches every group. Dice runs over the groups of `at` except its background (the group with
    the tree's remainder leaf), each on the voxels where membership is decided by a scheme that
    names the group. For leaf annotations both are ordinary Dice and cross entropy.

    Holds lookup tables only (non-persistent buffers), no parameters.
    """

    target: Tensor
    member: Tensor
    decided: Tensor

    def __init__(
        self, at: Coarsening, cells: Coarsening, table: LabelSetTable, *, batch_dice: bool = True
    ) -> None:
        super().__init__()
        self.batch_dice = batch_dice
        over = at.over(cells)
        allowed = table.allowed(at)
        decisive = ~allowed.all(axis=1)
        patterns, inverse = np.unique(allowed[decisive], axis=0, return_inverse=True)
        # From the last to the first, so that single groups stand in their own order.
        patterns, inverse = patterns[::-1], len(patterns) - 1 - inverse
        target = np.full(len(table), IGNORE)
        target[decisive] = inverse.reshape(-1)
        foreground = list(at.foreground)
        decided = table.decided(at)[:, foreground]

        def buffer(name: str, value: np.ndarray, dtype: torch.dtype) -> None:
            self.register_buffer(name, torch.tensor(value, dtype=dtype), persistent=False)

        self.groups = _members(over[foreground])
        self.patterns = _members((patterns.astype(int) @ over.astype(int)) > 0)
        buffer("target", target, torch.long)
        buffer("member", table.member(at)[:, foreground], torch.float32)
        buffer("decided", decided, torch.float32)

    def forward(
        self, logits: Float[Tensor, "batch cells *space"], rows: Int[Tensor, "batch *space"]
    ) -> dict[str, Float[Tensor, ""]]:
        """The terms "ce" and "dice"; both in float32 whatever the logits' precision."""
        logits = logits.float()
        rows = rows.long()
        if not self.patterns:  # a table that decides nothing: no label file, no loss
            return {"ce": logits.sum() * 0, "dice": logits.sum() * 0}
        log_p = logits.log_softmax(dim=1)
        ce = marginal_cross_entropy(marginalise(log_p, self.patterns), self.target[rows])
        q = marginalise(log_p, self.groups).exp()
        member = self.member[rows].movedim(-1, 1)
        decided = self.decided[rows].movedim(-1, 1)
        dice = soft_dice_loss(q, member, decided, batch=self.batch_dice)
        return {"ce": ce, "dice": dice}


def _members(matrix: np.ndarray) -> list[list[int]]:
    return [np.flatnonzero(row).tolist() for row in matrix]


def deep_supervision_weights(levels: int) -> list[float]:
    """nnU-Net's weights: halved at each lower resolution, the lowest left out, sum 1."""
    weights = [0.5**i for i in range(levels)]
    if levels > 1:
        weights[-1] = 0.0
    return [w / sum(weights) for w in weights]


def downsample_rows(rows: Int[Tensor, "batch *space"], shape: tuple[int, ...]) -> Tensor:
    """Rows at a lower resolution by nearest neighbour: they are names, not numbers."""
    if tuple(rows.shape[1:]) == tuple(shape):
        return rows
    small = torch.nn.functional.interpolate(rows[:, None].float(), size=shape, mode="nearest-exact")
    return small[:, 0].long()
