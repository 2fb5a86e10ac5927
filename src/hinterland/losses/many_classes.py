"""A comparison of prediction and annotation whose tables of classes would fill the memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hinterland.losses.class_chunks import ClassSums, Tables
from hinterland.losses.comparison import Comparison
from hinterland.losses.marginal import IGNORE, GroupSums, focal_of, mean_over_decided
from hinterland.losses.membership import Membership

LARGE = 2**26
"""Numbers of a table of classes from which on a comparison is `ManyClasses`: 256 MB in float32."""


class ManyClasses(Comparison):
    """A `Comparison` that adds up what the project's own losses need a few classes at a time.

    The tables of a plain one are there for losses that ask for them, and are made then.

    Args:
        logits: of each cell (batch, cells, *space).
        annotation: numbers of label sets (batch, *space).
        membership: what they say of the foreground groups.
        group_of: the foreground group of each cell, -1 for none.
        open_cells: (patterns, cells) the cells that each possible annotation leaves open.
        target, groups, sets, batch: see `Comparison`.
    """

    logits: Tensor
    annotation: Tensor
    membership: Membership
    group_of: Tensor
    open_cells: Tensor

    def __init__(
        self,
        logits: Float[Tensor, "batch cells *space"],
        annotation: Int[Tensor, "batch *space"],
        membership: Membership,
        group_of: Int[Tensor, " cells"],
        open_cells: Bool[Tensor, "patterns cells"],
        target: Int[Tensor, "batch *space"],
        groups: Sequence[Sequence[int]],
        sets: Sequence[Sequence[int]],
        *,
        batch: bool = True,
    ) -> None:
        own: dict[str, Any] = {
            "logits": logits, "annotation": annotation, "membership": membership,
            "group_of": group_of, "open_cells": open_cells,
        }  # fmt: skip
        shared = {"target": target, "groups": groups, "sets": sets, "batch": batch}
        vars(self).update(own, **shared)  # frozen

    @cached_property
    def log_p(self) -> Float[Tensor, "batch cells *space"]:  # type: ignore[override]
        """As `Comparison` has it."""
        return self.logits.float().log_softmax(dim=1)

    @cached_property
    def member(self) -> Bool[Tensor, "batch groups *space"]:  # type: ignore[override]
        """As `Comparison` has it."""
        return self.membership(self.annotation)[0]

    @cached_property
    def decided(self) -> Bool[Tensor, "batch groups *space"]:  # type: ignore[override]
        """As `Comparison` has it."""
        return self.membership(self.annotation)[1]

    @cached_property
    def _added(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return log m (batch, *space), and sum p y and sum p of each cell (batch, cells)."""
        grouped, place = self.group_of >= 0, self.group_of.clamp(min=0)
        decided = self.membership.decided[:, place] & grouped
        tables = Tables(self.open_cells, self.membership.member[:, place] & decided, decided)
        log_m, overlap, size = ClassSums.apply(
            self.logits.flatten(2), self.target.clamp(min=0).flatten(1),
            self.annotation.flatten(1), tables,
        )  # fmt: skip
        return log_m.view(self.target.shape), overlap, size

    def cross_entropy(self) -> Float[Tensor, ""]:
        decided = self.target != IGNORE
        return mean_over_decided(-torch.where(decided, self._added[0], 0).sum(), decided)

    def focal(self) -> Float[Tensor, ""]:
        return focal_of(self._added[0], self.target != IGNORE)

    def sums(self) -> GroupSums:
        member, decided = self.membership.member, self.membership.decided
        sets = self.annotation.flatten(1)
        counts = torch.zeros(len(sets), len(member), device=sets.device)
        counts = counts.scatter_add_(1, sets, torch.ones((), device=sets.device).expand_as(sets))
        inside = (counts[..., None] * (member & decided)).sum(dim=1)
        known = (counts[..., None] * decided).sum(dim=1)
        overlap, size = (
            torch.zeros_like(inside).index_add(1, self.group_of.clamp(min=0), of_cells)
            for of_cells in self._added[1:]
        )
        return GroupSums(overlap, size + inside, inside, known).over_items(self.batch)
