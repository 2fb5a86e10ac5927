"""A tree level level by level: superclasses, their subclasses, theirs, down to the leaves."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from hinterland.labels import Coarsening, LabelSetTable, LabelSpec, LabelTree
from hinterland.losses import PartitionLoss
from hinterland.types import HinterlandError


def tree_levels(tree: LabelTree) -> tuple[Coarsening, ...]:
    """The levels of a tree, coarsest first.

    Level d has the nodes of depth d and the leaves above it.

    ```
    background, heart {LV, myocardium {normal, scar}}
        background | heart
        background | LV | myocardium
        background | LV | normal | scar
    ```
    """
    levels: list[Coarsening] = []
    nodes = tree.roots
    while True:
        if len(nodes) > 1:
            level = tree.coarsen(*nodes)
            if levels and set(levels[-1].groups) == set(level.groups):
                levels.pop()  # a node with a single child: one group under two names
            levels.append(level)
        if all(not tree.children(n) for n in nodes):
            return tuple(levels)
        nodes = tuple(c for n in nodes for c in tree.children(n) or (n,))


def check_levels(on: Sequence[Coarsening]) -> tuple[Coarsening, ...]:
    """`on`, if each coarsening is finer than the one before it. HinterlandError otherwise."""
    for coarse, fine in pairwise(on):
        if not fine.refines(coarse) or len(fine) == len(coarse):
            raise HinterlandError(
                f"({fine}) does not divide the groups of ({coarse}). Name superclasses first, then "
                "their subclasses, such as `--on top,leaves`; or leave --on away to have every "
                "level of the tree."
            )
    return tuple(on)


@dataclass(frozen=True)
class Node:
    """A group of leaves and the groups it is divided into by the next level that divides it."""

    group: frozenset[int]
    children: tuple[Node, ...] = ()

    @classmethod
    def of(cls, levels: Sequence[Coarsening]) -> Node:
        """The root of a chain of levels."""
        return cls._grow(levels[0].tree.all_leaves, tuple(levels))

    @classmethod
    def _grow(cls, group: frozenset[int], levels: tuple[Coarsening, ...]) -> Node:
        for i, level in enumerate(levels):
            parts = [g for g in level.groups if g <= group]
            if len(parts) > 1:
                return cls(group, tuple(cls._grow(part, levels[i + 1 :]) for part in parts))
        return cls(group)


def rows_known_at(table: LabelSetTable, level: Coarsening) -> np.ndarray:
    """(rows,) bool: the rows of the schemes that know the level.

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


def schemes_known_at(spec: LabelSpec, level: Coarsening) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the schemes that know the level, and of those that do not (both have values)."""
    known = rows_known_at(spec.label_sets, level)
    names = {s: bool(k) for s, k in zip(spec.label_sets.schemes, known, strict=True) if s}
    return tuple(n for n in names if names[n]), tuple(n for n in names if not names[n])


def rows_naming(table: LabelSetTable, groups: Set[frozenset[int]]) -> np.ndarray:
    """(rows,) bool: the rows of the schemes with a value that is exactly one of the groups."""
    named = {s for s, leaves in zip(table.schemes, table.sets, strict=True) if leaves in groups}
    return np.isin(np.array(table.schemes), list(named - {""}))


class LevelLosses(nn.Module):
    """L_seg at every level, each on the voxels of the schemes that know it.

    A scheme that does not know a level, but names a group that no coarser level has, counts there
    by the marginal loss; so does, at the finest level, a scheme that counts nowhere else. With
    `cells` the levels are read off one head with these channels, by summed probabilities. Lookup
    tables only, no parameters.
    """

    known: Tensor

    def __init__(
        self,
        levels: Sequence[Coarsening],
        table: LabelSetTable,
        *,
        cells: Coarsening | None = None,
        batch_dice: bool = True,
    ) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            PartitionLoss(level, cells or level, table, batch_dice=batch_dice) for level in levels
        )
        known = np.stack([rows_known_at(table, level) for level in levels])
        for i in range(1, len(levels)):
            known[i] |= rows_naming(table, set(levels[i].groups) - set(levels[i - 1].groups))
        known[-1] |= ~known.any(axis=0)
        self.register_buffer("known", torch.tensor(known), persistent=False)

    def forward(self, logits: Sequence[Tensor], rows: Tensor) -> dict[str, Tensor]:
        """Terms "ce/d" and "dice/d" of the levels d = 1, 2, ...; logits of each, coarsest first."""
        terms: dict[str, Tensor] = {}
        rows = rows.long()
        for i, (part, level) in enumerate(zip(self.parts, logits, strict=True)):
            said = torch.where(self.known[i][rows], rows, 0)
            terms |= {f"{name}/{i + 1}": value for name, value in part(level, said).items()}
        return terms
