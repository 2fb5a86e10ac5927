"""Look up what an annotation says of the groups of a coarsening, voxel by voxel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from hinterland.labels import Coarsening, LabelSetTable


class Membership(nn.Module):
    """Annotations as masks of groups: inside or not, and where that is decided.

    A voxel annotated with the label set S is inside a group that holds all of S. That is decided
    where S lies inside the group or has no leaf in common with it, and S's scheme names the group.
    Lookup tables only, no parameters and no state.

    Args:
        at: the coarsening.
        table: the label sets that annotations point at.
        groups: positions of the groups wanted; default, all of them.
        unnamed: whether a group that no scheme names, such as a virtual class, is decided where the
            annotation excludes it: everywhere absent, instead of unknown.
    """

    member: Tensor
    decided: Tensor

    def __init__(
        self,
        at: Coarsening,
        table: LabelSetTable,
        groups: Sequence[int] | None = None,
        *,
        unnamed: bool = False,
    ) -> None:
        super().__init__()
        chosen = list(range(len(at)) if groups is None else groups)
        decided = table.decided(at)
        if unnamed:
            decided = decided | (~table.allowed(at) & ~decided.any(axis=0))
        for name, known in (("member", table.member(at)), ("decided", decided)):
            self.register_buffer(name, torch.tensor(known[:, chosen]), persistent=False)

    def forward(
        self, annotation: Int[Tensor, "batch *space"]
    ) -> tuple[Bool[Tensor, "batch groups *space"], Bool[Tensor, "batch groups *space"]]:
        """Return (inside, decided)."""
        sets = annotation.long()
        return self.member[sets].movedim(-1, 1), self.decided[sets].movedim(-1, 1)
