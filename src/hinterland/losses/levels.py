"""L_seg at every level of a tree, each on the voxels that know the level."""

from __future__ import annotations

from collections.abc import Sequence, Set

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from hinterland.labels import Coarsening, LabelSetTable
from hinterland.losses.segmentation import SegmentationLoss


def label_sets_known_at(table: LabelSetTable, level: Coarsening) -> np.ndarray:
    """Return (label sets,) bool: the label sets of the schemes that know the level.

    A scheme knows a level if each of its values lies inside one group of it or says nothing at all,
    but not all of them say nothing.
    """
    inside = np.asarray(table.member(level).any(axis=1)) | np.asarray(table.matrix.all(axis=1))
    owners = np.array(table.schemes)
    known = np.zeros(len(table), dtype=bool)
    for scheme in set(table.schemes) - {""}:
        own = owners == scheme
        known[own] = inside[own].all() and not table.matrix[own].all()
    return known


def label_sets_naming(table: LabelSetTable, groups: Set[frozenset[int]]) -> np.ndarray:
    """Return (label sets,) bool: those of the schemes with a value that is exactly a group."""
    named = {s for s, leaves in zip(table.schemes, table.sets, strict=True) if leaves in groups}
    return np.isin(np.array(table.schemes), list(named - {""}))


class LevelLosses(nn.Module):
    """L_seg at every level, each on the voxels of the schemes that know it.

    A scheme that does not know a level, but names a group that no coarser level has, counts there
    by the marginal loss; so does, at the finest level, a scheme that counts nowhere else. Lookup
    tables only, no parameters.

    Args:
        levels: the coarsenings, coarsest first.
        table: the label sets that annotations point at.
        cells: the channels of one head that answers at all levels, by summed probabilities;
            default, every level has a head of its own.
        batch_dice, virtual_dice, loss: see `SegmentationLoss`.
    """

    known: Tensor

    def __init__(
        self,
        levels: Sequence[Coarsening],
        table: LabelSetTable,
        *,
        cells: Coarsening | None = None,
        batch_dice: bool = True,
        virtual_dice: bool = False,
        loss: str = "dice-ce",
    ) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            SegmentationLoss(
                (at,),
                cells or at,
                table,
                batch_dice=batch_dice,
                virtual_dice=virtual_dice,
                loss=loss,
            )
            for at in levels
        )
        known = np.stack([label_sets_known_at(table, level) for level in levels])
        for i in range(1, len(levels)):
            new = set(levels[i].groups) - set(levels[i - 1].groups)
            known[i] |= label_sets_naming(table, new)
        known[-1] |= ~known.any(axis=0)
        self.register_buffer("known", torch.tensor(known), persistent=False)

    def forward(
        self, logits: Sequence[Tensor], annotation: Int[Tensor, "batch *space"]
    ) -> dict[str, Tensor]:
        """Return the terms "ce/d", "dice/d" of the levels d = 1, 2, ...

        Args:
            logits: (batch, groups, *space) of each level, coarsest first.
            annotation: numbers of label sets.
        """
        terms: dict[str, Tensor] = {}
        annotation = annotation.long()
        for i, (part, level) in enumerate(zip(self.parts, logits, strict=True)):
            said = torch.where(self.known[i][annotation], annotation, 0)
            assert isinstance(part, SegmentationLoss)
            (found,) = part.terms([level], said)
            terms |= {f"{name}/{i + 1}": value for name, value in found.items()}
        return terms
