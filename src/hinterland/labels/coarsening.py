"""Coarsenings: partitions of the leaves into named groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hinterland.labels.expression import parse_leaves
from hinterland.labels.tree import LabelError, LabelTree


@dataclass(frozen=True)
class Coarsening:
    """A partition of the leaves of `tree` into named groups.

    The group that holds the tree's remainder leaf is the *background* of the coarsening; it comes
    first, the others follow in the order given. Channel g of a network trained on a coarsening is
    `names[g]`.
    """

    tree: LabelTree
    names: tuple[str, ...]
    groups: tuple[frozenset[int], ...]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.groups) or len(set(self.names)) != len(self.names):
            raise LabelError(f"a coarsening needs one distinct name a group, got {self.names}")
        seen: dict[int, str] = {}
        for name, group in zip(self.names, self.groups, strict=True):
            for leaf in group:
                if leaf in seen:
                    raise LabelError(
                        f"the groups {seen[leaf]!r} and {name!r} both hold the leaf "
                        f"{self.tree.leaf_names[leaf]!r}. Groups of one coarsening may not overlap; "
                        "ask the two questions separately."
                    )
                seen[leaf] = name
        if set(seen) != self.tree.every or not all(self.groups):
            raise LabelError(f"the groups {self.names} do not partition the leaves of the tree.")

    @classmethod
    def of(cls, tree: LabelTree, expressions: Iterable[str | Sequence[str]]) -> Coarsening:
        """Groups by expression (see `parse_leaves`), completed by the group of all other leaves."""
        named: list[tuple[str, frozenset[int]]] = []
        for expression in expressions:
            name = expression if isinstance(expression, str) else "+".join(expression)
            named.append((name, parse_leaves(tree, expression)))
        if not named:
            raise LabelError("a coarsening needs at least one group.")
        covered = frozenset().union(*(leaves for _, leaves in named))
        other = tree.every - covered
        if other:
            node = tree.node_of(other)
            single = "not " + named[0][0] if len(named) == 1 else "everything else"
            named.append((node or single, other))
        if len(named) < 2:
            raise LabelError(f"{named[0][0]!r} holds every leaf: a question needs two sides.")
        remainder = tree.leaf_names.index(tree.remainder)
        named.sort(key=lambda item: remainder not in item[1])  # stable: background first
        return cls(tree, tuple(n for n, _ in named), tuple(g for _, g in named))

    def __len__(self) -> int:
        return len(self.names)

    def __str__(self) -> str:
        return " | ".join(self.names)

    @property
    def background(self) -> int:
        """Index of the group that holds the remainder leaf. Dice losses and metrics skip it."""
        remainder = self.tree.leaf_names.index(self.tree.remainder)
        return next(i for i, g in enumerate(self.groups) if remainder in g)

    @property
    def foreground(self) -> tuple[int, ...]:
        """Indices of all groups but the background."""
        return tuple(i for i in range(len(self)) if i != self.background)

    @cached_property
    def matrix(self) -> np.ndarray:
        """(groups, leaves) bool: M with M p = group probabilities."""
        m = np.zeros((len(self.groups), len(self.tree)), dtype=bool)
        for i, group in enumerate(self.groups):
            m[i, sorted(group)] = True
        return m

    def refines(self, other: Coarsening) -> bool:
        """Whether every group of this coarsening lies inside one group of `other`."""
        return all(any(g <= h for h in other.groups) for g in self.groups)

    def over(self, cells: Coarsening) -> np.ndarray:
        """(groups, cells) bool: how the groups are made of another coarsening's groups.

        Raises LabelError where a group splits a cell: that question cannot be answered.
        """
        split = [
            cells.names[j]
            for j, c in enumerate(cells.groups)
            if not any(c <= g for g in self.groups)
        ]
        if split:
            raise LabelError(
                f"the question ({self}) splits {split}, which the model does not distinguish: "
                f"it knows only ({cells}). Ask a coarser question or train on finer groups."
            )
        return np.array([[c <= g for c in cells.groups] for g in self.groups], dtype=bool)

    def coarsen(self, *groups: str) -> Coarsening:
        """A coarsening of this coarsening; LabelError where it would split one of its groups."""
        result = Coarsening.of(self.tree, groups)
        result.over(self)
        return result

    def to_dict(self) -> dict[str, list[str]]:
        """Group name -> leaf names."""
        leaf = self.tree.leaf_names
        return {
            n: [leaf[i] for i in sorted(g)] for n, g in zip(self.names, self.groups, strict=True)
        }

    @classmethod
    def from_dict(cls, tree: LabelTree, groups: dict[str, list[str]]) -> Coarsening:
        """Read what `to_dict` wrote."""
        return cls(tree, tuple(groups), tuple(parse_leaves(tree, g) for g in groups.values()))


def common_refinement(coarsenings: Sequence[Coarsening]) -> Coarsening:
    """The coarsest coarsening that refines all of them: the cells a network must tell apart.

    A cell that is a group of one of them keeps that group's name; another takes the name of its
    node, or the names of its leaves joined by `+`.
    """
    if not coarsenings:
        raise LabelError("a method needs at least one coarsening to train on.")
    tree = coarsenings[0].tree
    if any(c.tree != tree for c in coarsenings):
        raise LabelError("coarsenings of different trees cannot be trained together.")
    cells: dict[tuple[int, ...], set[int]] = {}
    for leaf in range(len(tree)):
        key = tuple(next(i for i, g in enumerate(c.groups) if leaf in g) for c in coarsenings)
        cells.setdefault(key, set()).add(leaf)
    given = {g: n for c in reversed(coarsenings) for n, g in zip(c.names, c.groups, strict=True)}
    named = []
    for members in cells.values():
        cell = frozenset(members)
        joined = "+".join(tree.leaf_names[i] for i in sorted(cell))
        named.append((given.get(cell) or tree.node_of(cell) or joined, cell))
    remainder = tree.leaf_names.index(tree.remainder)
    named.sort(key=lambda item: remainder not in item[1])
    return Coarsening(tree, tuple(n for n, _ in named), tuple(g for _, g in named))
