"""Coarsenings: partitions of the leaves into named groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hinterland.errors import LabelError

if TYPE_CHECKING:
    from hinterland.labels.tree import LabelTree


@dataclass(frozen=True)
class Coarsening:
    """A partition of the leaves of `tree` into named groups.

    The group that holds the tree's remainder leaf is the *background* of the coarsening; it comes
    first, the others follow in the order given. Channel g of a network trained on a coarsening is
    `names[g]`.

    Examples:
        >>> from hinterland.labels import LabelTree
        >>> tree = LabelTree({"background": {"lung": {}, "rest": {}}, "infection": {}})
        >>> lesion = tree.coarsen("infection")
        >>> lesion.names, lesion.background
        (('background', 'infection'), 0)
        >>> lesion.to_dict()
        {'background': ['lung', 'rest'], 'infection': ['infection']}
        >>> lesion.matrix.astype(int)
        array([[1, 1, 0],
               [0, 0, 1]])
        >>> tree.leaves.refines(lesion), lesion.refines(tree.leaves)
        (True, False)
    """

    tree: LabelTree
    names: tuple[str, ...]
    groups: tuple[frozenset[int], ...]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.groups):
            raise LabelError(
                f"a coarsening needs one name a group; got {len(self.names)} names for "
                f"{len(self.groups)} groups."
            )
        seen: dict[int, str] = {}
        for name, group in zip(self.names, self.groups, strict=True):
            for leaf in sorted(group & self.tree.all_leaves):
                if leaf in seen:
                    raise LabelError(
                        f"the groups {seen[leaf]!r} and {name!r} both hold the leaf "
                        f"{self.tree.leaf_names[leaf]!r}. Groups of one coarsening may not "
                        "overlap; ask the two questions separately."
                    )
                seen[leaf] = name
        if len(set(self.names)) < len(self.names):
            raise LabelError(
                f"two groups of a coarsening have the same name: {list(self.names)}. "
                "Give every group a name of its own."
            )
        missing = [n for i, n in enumerate(self.tree.leaf_names) if i not in seen]
        if missing or not all(g and g <= self.tree.all_leaves for g in self.groups):
            raise LabelError(
                f"the groups {list(self.names)} do not partition the leaves "
                f"{list(self.tree.leaf_names)}"
                + (f": {missing} are in no group. " if missing else ". ")
                + "Every leaf must be in exactly one group, and every group must hold a leaf."
            )

    @classmethod
    def of(cls, tree: LabelTree, expressions: Iterable[str | Sequence[str]]) -> Coarsening:
        """Name groups by expression (see `LabelTree.parse`); the rest of the leaves is one more."""
        return cls.complete(tree, [(_name(e), tree.parse(e)) for e in expressions])

    @classmethod
    def complete(cls, tree: LabelTree, groups: Iterable[tuple[str, frozenset[int]]]) -> Coarsening:
        """Return named groups of leaves, completed by the group of all other leaves.

        Raises:
            HinterlandError: there is no group, or one that holds every leaf.
        """
        named = list(groups)
        if not named:
            raise LabelError("a coarsening needs at least one group.")
        covered = frozenset().union(*(leaves for _, leaves in named))
        other = tree.all_leaves - covered
        if other:
            node = tree.node_for(other)
            single = "not " + named[0][0] if len(named) == 1 else "everything else"
            named.append((node or single, other))
        if len(named) < 2:
            raise LabelError(f"{named[0][0]!r} holds every leaf: a question needs two sides.")
        return cls._background_first(tree, named)

    @classmethod
    def _background_first(
        cls, tree: LabelTree, named: Iterable[tuple[str, frozenset[int]]]
    ) -> Coarsening:
        remainder = tree.leaf_names.index(tree.remainder)
        ordered = sorted(named, key=lambda item: remainder not in item[1])  # stable
        return cls(tree, tuple(n for n, _ in ordered), tuple(g for _, g in ordered))

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
        m.setflags(write=False)
        return m

    def refines(self, other: Coarsening) -> bool:
        """Tell whether every group of this coarsening lies inside one group of `other`."""
        self._check_leaves(other)
        return all(any(g <= h for h in other.groups) for g in self.groups)

    def over(self, cells: Coarsening) -> np.ndarray:
        """Say how the groups are made of another coarsening's groups, (groups, cells) bool.

        Raises:
            LabelError: a group splits a cell, so that the question cannot be answered, or the two
                number other leaves.
        """
        self._check_leaves(cells)
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

    def _check_leaves(self, other: Coarsening) -> None:
        if self.tree.leaf_names != other.tree.leaf_names:
            raise LabelError(
                f"the coarsenings ({self}) and ({other}) belong to different label trees, with the "
                f"leaves {list(self.tree.leaf_names)} and {list(other.tree.leaf_names)}; expected "
                "two of the same tree. Use the labels.yaml the model was trained with."
            )

    def coarsen(self, *groups: str) -> Coarsening:
        """Coarsen this coarsening; LabelError where that would split one of its groups."""
        result = Coarsening.of(self.tree, groups)
        result.over(self)
        return result

    def to_dict(self) -> dict[str, list[str]]:
        """Return group name -> leaf names."""
        leaf = self.tree.leaf_names
        return {
            n: [leaf[i] for i in sorted(g)] for n, g in zip(self.names, self.groups, strict=True)
        }

    @classmethod
    def from_dict(cls, tree: LabelTree, groups: Mapping[str, str | Sequence[str]]) -> Coarsening:
        """Read what `to_dict` wrote: name -> expression; the groups must hold every leaf.

        Raises:
            LabelError: a name is no text, groups overlap, or a leaf is in none.
        """
        for name in groups:
            if not isinstance(name, str) or not name:
                raise LabelError(
                    f"{name!r} cannot name a group; expected non-empty text. (Quote names that "
                    "YAML reads as numbers or booleans.)"
                )
        return cls._background_first(tree, [(n, tree.parse(g)) for n, g in groups.items()])


def _name(expression: Any) -> str:
    """Tell how a group is called that was given by an expression alone."""
    if isinstance(expression, list | tuple):
        return "+".join(_name(part) for part in expression)
    return str(expression).strip()


def common_refinement(coarsenings: Sequence[Coarsening]) -> Coarsening:
    """Find the coarsest coarsening that refines all of them: the cells a network must tell apart.

    A cell that is a group of one of them keeps that group's name; another takes the name of its
    node, or the names of its leaves joined by `+`. (Where the coarsenings use one name for two
    cells, all cells are named in the second way.)

    Raises:
        LabelError: there is no coarsening, or they are of different trees.
    """
    if not coarsenings:
        raise LabelError("a method needs at least one coarsening to train on. Name one with --on.")
    tree = coarsenings[0].tree
    if any(c.tree != tree for c in coarsenings):
        raise LabelError(
            "coarsenings of different trees cannot be trained together."
            " Take them from one labels.yaml."
        )
    cells: dict[tuple[int, ...], set[int]] = {}
    for leaf in range(len(tree)):
        key = tuple(next(i for i, g in enumerate(c.groups) if leaf in g) for c in coarsenings)
        cells.setdefault(key, set()).add(leaf)
    given = {g: n for c in reversed(coarsenings) for n, g in zip(c.names, c.groups, strict=True)}
    groups = [frozenset(members) for members in cells.values()]
    plain = [tree.node_for(g) or "+".join(tree.leaf_names[i] for i in sorted(g)) for g in groups]
    names = [given.get(g, name) for g, name in zip(groups, plain, strict=True)]
    if len(set(names)) < len(names):
        names = plain
    return Coarsening._background_first(tree, zip(names, groups, strict=True))
