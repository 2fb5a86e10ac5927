"""L_seg, the segmentation loss of every method: averaged over coarsenings, at every level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from jaxtyping import Float, Int
from torch import Tensor, nn

from hinterland.labels import Coarsening, LabelSetTable
from hinterland.losses.base import VoxelLoss, supervised_levels
from hinterland.losses.partition import PartitionLoss


class SegmentationLoss(VoxelLoss):
    """L_seg of softmax logits: the mean over coarsenings of the sum of a loss's terms.

    Args:
        on: the coarsenings that the loss sees.
        cells: what the network's channels stand for; a refinement of all of `on`.
        table: the label sets that annotations point at.
        batch_dice, virtual_dice: see `PartitionLoss`.
        loss: a name of `losses.registry.LOSSES`, by default Dice + cross entropy.

    Example:
        >>> import torch
        >>> from hinterland.labels import LabelSpec
        >>> spec = LabelSpec.from_dict(
        ...     {"tree": {"rest": {}, "organ": {}}, "schemes": {"full": {0: "rest", 1: "organ"}}}
        ... )
        >>> loss = SegmentationLoss((spec.tree.leaves,), spec.tree.leaves, spec.label_sets)
        >>> annotation = torch.tensor([[[1, 2], [2, 0]]])
        >>> round(loss([torch.zeros(1, 2, 2, 2)], annotation).item(), 3)
        1.122
    """

    def __init__(
        self,
        on: Sequence[Coarsening],
        cells: Coarsening,
        table: LabelSetTable,
        *,
        batch_dice: bool = True,
        virtual_dice: bool = False,
        loss: str = "dice-ce",
    ) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            PartitionLoss(
                at, cells, table, batch_dice=batch_dice, virtual_dice=virtual_dice, loss=loss
            )
            for at in on
        )

    def at_resolution(
        self, logits: Float[Tensor, "batch cells *space"], annotation: Int[Tensor, "batch *space"]
    ) -> Float[Tensor, ""]:
        totals = [sum(part(logits, annotation).values()) for part in self.parts]
        return cast(Tensor, sum(totals)) / len(totals)

    def terms(
        self, levels: Sequence[Tensor], annotation: Int[Tensor, "batch *space"]
    ) -> list[dict[str, Tensor]]:
        """Return the terms of each coarsening, summed over deep supervision levels.

        The mean over coarsenings of their sums is what calling the loss gives.
        """
        found: list[dict[str, Tensor]] = [{} for _ in self.parts]
        for weight, level, small in supervised_levels(levels, annotation):
            for terms, part in zip(found, self.parts, strict=True):
                for name, value in part(level, small).items():
                    terms[name] = terms.get(name, 0) + weight * value
        return found

    def estimate(
        self, logits: Float[Tensor, "batch cells *space"]
    ) -> Float[Tensor, "batch cells *space"]:
        return logits.float().softmax(dim=1)
