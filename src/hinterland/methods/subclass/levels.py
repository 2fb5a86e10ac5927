"""A tree cut level by level: superclasses, their subclasses, theirs, down to the leaves."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from hinterland.labels import Coarsening, LabelSpec, LabelTree, LeafSetTable
from hinterland.losses import PartitionLoss
from hinterland.types import HinterlandError


def tree_cuts(tree: LabelTree) -> tuple[Coarsening, ...]:
    """The cuts of a tree, coarsest first: cut d has the nodes of depth d and the leaves above it.

    ```
    background, heart {LV, myocardium {normal, scar}}
        background | heart
        background | LV | myocardium
        background | LV | normal | scar
    ```
    """
    cuts: list[Coarsening] = []
    nodes = tree.roots
    while True:
        if len(nodes) > 1:
            cut = tree.coarsen(*nodes)
            if cuts and set(cuts[-1].groups) == set(cut.groups):
                cuts.pop()  # a node with a single child: one group under two names
            cuts.append(cut)
        if all(not tree.children(n) for n in nodes):
            return tuple(cuts)
        nodes = tuple(c for n in nodes for c in tree.children(n) or (n,))


def check_cuts(on: Sequence[Coarsening]) -> tuple[Coarsening, ...]:
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
    """A group of leaves and the groups it is divided into by the next cut that divides it."""

    group: frozenset[int]
    children: tuple[Node, ...] = ()

    @classmethod
    def of(cls, cuts: Sequence[Coarsening]) -> Node:
        """The root of a chain of cuts."""
        return cls._grow(cuts[0].tree.every, tuple(cuts))

    @classmethod
    def _grow(cls, group: frozenset[int], cuts: tuple[Coarsening, ...]) -> Node:
        for i, cut in enumerate(cuts):
            parts = [g for g in cut.groups if g <= group]
            if len(parts) > 1:
                return cls(group, tuple(cls._grow(part, cuts[i + 1 :]) for part in parts))
        return cls(group)


def rows_known_at(table: LeafSetTable, cut: Coarsening) -> np.ndarray:
    """(rows,) bool: the rows of the schemes that know the cut.

    A scheme knows a cut if each of its values lies inside one group of it or says nothing at all,
    but not all of them say nothing.
    """
    inside = np.asarray(table.member(cut).any(axis=1)) | np.asarray(table.matrix.all(axis=1))
    owners = np.array(table.schemes)
    known = np.zeros(len(table), dtype=bool)
    for scheme in set(table.schemes) - {""}:
        own = owners == scheme
        known[own] = inside[own].all() and not table.matrix[own].all()
    return known


def schemes_known_at(spec: LabelSpec, cut: Coarsening) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the schemes that know the cut, and of those that do not (both have values)."""
    known = rows_known_at(spec.table, cut)
    names = {s: bool(k) for s, k in zip(spec.table.schemes, known, strict=True) if s}
    return tuple(n for n in names if names[n]), tuple(n for n in names if not names[n])


def rows_naming(table: LeafSetTable, groups: Set[frozenset[int]]) -> np.ndarray:
    """(rows,) bool: the rows of the schemes with a value that is exactly one of the groups."""
    named = {s for s, leaves in zip(table.schemes, table.sets, strict=True) if leaves in groups}
    return np.isin(np.array(table.schemes), list(named - {""}))


class CutLosses(nn.Module):
    """L_seg at every cut, each on the voxels of the schemes that know it.

    A scheme that does not know a cut, but names a group that no coarser cut has, counts there by
    the marginal loss; so does, at the finest cut, a scheme that counts nowhere else. With `cells`
    the cuts are read off one head with these channels, by summed probabilities. Lookup tables only,
    no parameters.
    """

    known: Tensor

    def __init__(
        self,
        cuts: Sequence[Coarsening],
        table: LeafSetTable,
        *,
        cells: Coarsening | None = None,
        batch_dice: bool = True,
    ) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            PartitionLoss(cut, cells or cut, table, batch_dice=batch_dice) for cut in cuts
        )
        known = np.stack([rows_known_at(table, cut) for cut in cuts])
        for i in range(1, len(cuts)):
            known[i] |= rows_naming(table, set(cuts[i].groups) - set(cuts[i - 1].groups))
        known[-1] |= ~known.any(axis=0)
        self.register_buffer("known", torch.tensor(known), persistent=False)

    def forward(self, logits: Sequence[Tensor], rows: Tensor) -> dict[str, Tensor]:
        """Terms "ce/d" and "dice/d" for the cuts d = 1, 2, ...; logits of each, coarsest first."""
        terms: dict[str, Tensor] = {}
        rows = rows.long()
        for i, (part, level) in enumerate(zip(self.parts, logits, strict=True)):
            said = torch.where(self.known[i][rows], rows, 0)
            terms |= {f"{name}/{i + 1}": value for name, value in part(level, said).items()}
        return terms
