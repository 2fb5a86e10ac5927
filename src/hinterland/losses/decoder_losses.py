"""What a decoder of a multi-view method is asked: the foreground, or the complement of each class.

A branch turns its decoder's logits into a loss against annotation rows, and into an estimate of the
class probabilities that can be compared with that of another branch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from hinterland.labels import Coarsening, LabelSetTable
from hinterland.losses import (
    PartitionLoss,
    all_sum,
    deep_supervision_weights,
    downsample_rows,
    soft_dice_loss,
)

Kind = Literal["foreground", "complement", "complement-softmax"]


class Branch(nn.Module, ABC):
    """Loss and estimate of one decoder. Lookup tables only, no parameters."""

    def loss(self, levels: Sequence[Tensor], rows: Int[Tensor, "batch *space"]) -> Tensor:
        """L_seg = Dice + CE, summed over deep supervision levels with halving weights.

        levels: logits (B, cells, *space), highest resolution first. rows: 0 where nothing is said.
        """
        total = levels[0].new_zeros((), dtype=torch.float32)
        for weight, level in zip(deep_supervision_weights(len(levels)), levels, strict=True):
            if weight:
                small = downsample_rows(rows, tuple(level.shape[2:])).long()
                total = total + weight * self(level.float(), small)
        return total

    @abstractmethod
    def forward(
        self, logits: Float[Tensor, "batch cells *space"], rows: Int[Tensor, "batch *space"]
    ) -> Float[Tensor, ""]:
        """L_seg at one resolution."""

    @abstractmethod
    def estimate(
        self, logits: Float[Tensor, "batch cells *space"]
    ) -> Float[Tensor, "batch cells *space"]:
        """The probability of each cell, as this branch sees it (it need not sum to one)."""


class Foreground(Branch):
    """Softmax over cells; Dice + CE averaged over the coarsenings of a method."""

    def __init__(
        self,
        on: Sequence[Coarsening],
        cells: Coarsening,
        table: LabelSetTable,
        batch_dice: bool = True,
    ) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            PartitionLoss(at, cells, table, batch_dice=batch_dice) for at in on
        )

    def forward(self, logits: Tensor, rows: Tensor) -> Tensor:
        terms = [sum(part(logits, rows).values()) for part in self.parts]
        return cast(Tensor, sum(terms)) / len(terms)

    def estimate(self, logits: Tensor) -> Tensor:
        return logits.float().softmax(dim=1)


class Complement(Branch):
    """One sigmoid a cell, q_k = P(not cell k); binary Dice + BCE, every cell counted.

    Targets y_k = 1 - [S inside cell k] on the voxels whose annotation S decides about cell k, by a
    scheme that names the cell. For leaf annotations that is CVBM's eq. 2, and for two classes its
    eq. 1. The estimate is 1 - q_k, so that foreground and background can sum to 1 exactly, class by
    class.
    """

    member: Tensor
    decided: Tensor

    def __init__(self, cells: Coarsening, table: LabelSetTable, batch_dice: bool = True) -> None:
        super().__init__()
        self.batch_dice = batch_dice
        member = torch.tensor(table.member(cells), dtype=torch.float32)
        decided = torch.tensor(table.decided(cells), dtype=torch.float32)
        self.register_buffer("member", member, persistent=False)
        self.register_buffer("decided", decided, persistent=False)

    def targets(
        self, rows: Int[Tensor, "batch *space"]
    ) -> tuple[Float[Tensor, "batch cells *space"], Float[Tensor, "batch cells *space"]]:
        """The complement labels y, and 1 where they are decided."""
        y = 1 - self.member[rows].movedim(-1, 1)
        return y, self.decided[rows].movedim(-1, 1)

    def forward(self, logits: Tensor, rows: Tensor) -> Tensor:
        y, decided = self.targets(rows)
        bce = F.binary_cross_entropy_with_logits(logits, y, decided, reduction="sum")
        ce = all_sum(bce) / all_sum(decided.sum()).clamp(min=1)
        return ce + soft_dice_loss(logits.sigmoid(), y, decided, batch=self.batch_dice)

    def estimate(self, logits: Tensor) -> Tensor:
        return (-logits.float()).sigmoid()


class SoftmaxComplement(Complement):
    """The same labels under a softmax, as CVBM's released code has it: kept to be measured.

    The labels are multi-hot (K - 1 of K are 1), which no softmax can reach: cross entropy
    -sum_k y_k log p_k, Dice of p with y, and softmax(1 - logits) as the estimate.
    """

    def forward(self, logits: Tensor, rows: Tensor) -> Tensor:
        y, decided = self.targets(rows)
        known = decided.amax(dim=1)
        ce = -(y * decided * logits.log_softmax(dim=1)).sum()
        ce = all_sum(ce) / all_sum(known.sum()).clamp(min=1)
        return ce + soft_dice_loss(logits.softmax(dim=1), y, decided, batch=self.batch_dice)

    def estimate(self, logits: Tensor) -> Tensor:
        return (1 - logits.float()).softmax(dim=1)


def make_branch(
    kind: Kind,
    on: Sequence[Coarsening],
    cells: Coarsening,
    table: LabelSetTable,
    batch_dice: bool = True,
) -> Branch:
    """The branch of a kind."""
    if kind == "foreground":
        return Foreground(on, cells, table, batch_dice)
    return (Complement if kind == "complement" else SoftmaxComplement)(cells, table, batch_dice)
