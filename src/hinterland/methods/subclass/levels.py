"""A tree level level by level: superclasses, their subclasses, theirs, down to the leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from hinterland.labels import Coarsening, LabelSpec, LabelTree
from hinterland.losses.levels import label_sets_known_at
from hinterland.types import HinterlandError


def tree_levels(tree: LabelTree) -> tuple[Coarsening, ...]:
    """Return the levels of a tree, coarsest first.

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
    """Return `on`, if each coarsening is finer than the one before it.

    Raises:
        HinterlandError: one is not.
    """
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
        """Return the root of a chain of levels."""
        return cls._grow(levels[0].tree.all_leaves, tuple(levels))

    @classmethod
    def _grow(cls, group: frozenset[int], levels: tuple[Coarsening, ...]) -> Node:
        for i, level in enumerate(levels):
            parts = [g for g in level.groups if g <= group]
            if len(parts) > 1:
                return cls(group, tuple(cls._grow(part, levels[i + 1 :]) for part in parts))
        return cls(group)


def schemes_known_at(spec: LabelSpec, level: Coarsening) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the schemes that know the level, and of those that do not."""
    known = label_sets_known_at(spec.label_sets, level)
    names = {s: bool(k) for s, k in zip(spec.label_sets.schemes, known, strict=True) if s}
    return tuple(n for n in names if names[n]), tuple(n for n in names if not names[n])
