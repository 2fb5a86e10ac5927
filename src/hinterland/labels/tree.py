"""The label tree: what classes there are and how they nest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from hinterland.errors import LabelError
from hinterland.labels.coarsening import Coarsening

# How the part of an image that no other leaf claims is usually called, most specific first.
MOST_LEAVES = 2048
"""More classes than any atlas has; tables of leaf sets grow with the square."""
REMAINDER_NAMES = ("rest", "other", "background")


class LabelTree:
    """A rooted tree of named classes; its leaves are mutually exclusive and cover every voxel.

    ```
    LabelTree({"background": {"lung": {}, "rest": {}}, "infection": {}})

    *                      the (unnamed) root: every voxel
    ├── background         inner node: lung or rest
    │   ├── lung           leaf 0
    │   └── rest           leaf 1   (remainder)
    └── infection          leaf 2
    ```

    Immutable and hashable. Leaves are numbered in the order in which they are written.

    Args:
        nodes: nested mapping, name -> children; an empty mapping (or None) is a leaf.
        remainder: the leaf that holds whatever no other leaf claims. It is never counted by Dice
            losses. Default: the leaf called `rest`, `other` or `background`, else the first leaf.
        virtual: leaves that nobody is expected to supervise (the paper's virtual class).

    Raises:
        LabelError: duplicate or empty names, fewer than two leaves, an unknown remainder.

    Examples:
        >>> tree = LabelTree({"background": {"lung": {}, "rest": {}}, "infection": {}})
        >>> tree.leaf_names
        ('lung', 'rest', 'infection')
        >>> sorted(tree.leaves_under("background"))
        [0, 1]
        >>> str(tree.coarsen("infection"))
        'background | infection'
        >>> sorted(tree.parse("not infection")), sorted(tree.parse("lung+infection"))
        ([0, 1], [0, 2])
    """

    leaf_names: tuple[str, ...]
    remainder: str
    virtual: frozenset[str]
    _children: dict[str, tuple[str, ...]]
    _parent: dict[str, str | None]
    _roots: tuple[str, ...]

    def __init__(
        self,
        nodes: Mapping[str, Any],
        *,
        remainder: str | None = None,
        virtual: tuple[str, ...] | frozenset[str] = (),
    ) -> None:
        if not isinstance(nodes, Mapping):
            raise LabelError(
                f"a label tree came as {nodes!r}; expected a mapping of class names to their "
                "children, such as {background: {}, lesion: {}}."
            )
        own = vars(self)  # attribute assignment is refused, here too
        own["_children"], own["_parent"] = {}, {}
        own["_roots"] = self._add(nodes, None)
        own["leaf_names"] = tuple(n for n in self.nodes if not self._children[n])
        if len(self.leaf_names) > MOST_LEAVES:
            raise LabelError(
                f"the label tree has {len(self.leaf_names):,} leaves; expected at most "
                f"{MOST_LEAVES:,}. Leave out what no label file holds."
            )
        if len(self.leaf_names) < 2:
            raise LabelError(
                f"the label tree has too few leaves: {list(self.leaf_names)}. A segmentation "
                "needs at least two classes; add the background as a leaf of its own."
            )
        own["virtual"] = frozenset(virtual)
        for name in sorted(self.virtual):
            if name not in self.leaf_names:
                raise LabelError(
                    f"virtual class {name!r} is not a leaf of the tree; the leaves are "
                    f"{list(self.leaf_names)}."
                )
        own["remainder"] = self._find_remainder(remainder)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a LabelTree is immutable; make a new one to change {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a LabelTree is immutable; {name!r} cannot be deleted")

    def _add(self, nodes: Mapping[str, Any], parent: str | None) -> tuple[str, ...]:
        for name, children in nodes.items():
            if not isinstance(name, str) or not name or name.startswith("not ") or name == "any":
                raise LabelError(
                    f"{name!r} cannot name a class: use non-empty text that is not 'any' and does "
                    "not begin with 'not '. (Quote names that YAML reads as numbers or booleans.)"
                )
            if "," in name or name != name.strip():
                raise LabelError(
                    f"class name {name!r}: commas and outer spaces are not allowed; rename it."
                )
            if name in self._parent:
                raise LabelError(
                    f"the name {name!r} stands twice in the tree; every node needs a name of its "
                    "own, inner nodes and leaves alike."
                )
            if children is not None and not isinstance(children, Mapping):
                raise LabelError(
                    f"below {name!r} came {children!r}; expected a mapping of child names, "
                    "or {} for a leaf."
                )
            self._parent[name] = parent
            self._children[name] = ()  # holds the place, so that nodes keep the written order
            self._children[name] = self._add(children or {}, name)
        return tuple(nodes)

    def _find_remainder(self, remainder: str | None) -> str:
        if remainder is not None:
            if remainder not in self.leaf_names:
                raise LabelError(
                    f"remainder {remainder!r} is not a leaf of the tree; expected one of "
                    f"{list(self.leaf_names)}."
                )
            return remainder
        known = [n for n in REMAINDER_NAMES if n in self.leaf_names]
        return known[0] if known else self.leaf_names[0]

    def _known(self) -> str:
        return ", ".join(self.nodes)

    @property
    def nodes(self) -> tuple[str, ...]:
        """All names, depth first, in the order written."""
        return tuple(self._parent)

    @property
    def roots(self) -> tuple[str, ...]:
        """The children of the unnamed root."""
        return self._roots

    def __len__(self) -> int:
        return len(self.leaf_names)

    def __contains__(self, name: object) -> bool:
        return name in self._parent

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelTree) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        return (tuple(self._children.items()), self.remainder, self.virtual)

    def __repr__(self) -> str:
        return f"LabelTree({self.to_dict()})"

    def children(self, name: str | None = None) -> tuple[str, ...]:
        """Return child names of a node, or of the root."""
        return self._roots if name is None else self._children[self.check(name)]

    def parent(self, name: str) -> str | None:
        """Find the node above, or None at the top level."""
        return self._parent[self.check(name)]

    def check(self, name: str) -> str:
        """Return `name` if it is a node.

        Raises:
            LabelError: it is none; the message lists the nodes.
        """
        if name not in self._parent:
            raise LabelError(f"{name!r} is not in the label tree. It has: {self._known()}")
        return name

    def leaves_under(self, name: str) -> frozenset[int]:
        """Find the leaves under a node, as leaf numbers (a leaf is below itself)."""
        return self._leaves_under[self.check(name)]

    @cached_property
    def _leaves_under(self) -> dict[str, frozenset[int]]:
        found: dict[str, frozenset[int]] = {}
        for name in reversed(self.nodes):  # children before their parents
            own = [self.leaf_names.index(name)] if not self._children[name] else []
            found[name] = frozenset(own).union(*(found[c] for c in self._children[name]))
        return found

    @property
    def all_leaves(self) -> frozenset[int]:
        """All leaf numbers: what `any` denotes."""
        return frozenset(range(len(self.leaf_names)))

    def node_for(self, leaves: frozenset[int]) -> str | None:
        """Find the node (the lowest one) that holds exactly these leaves, if there is one."""
        matches = [n for n in self.nodes if self.leaves_under(n) == leaves]
        return matches[-1] if matches else None

    @property
    def leaves(self) -> Coarsening:
        """The finest coarsening: every leaf a group of its own."""
        return self.coarsen(*self.leaf_names)

    @property
    def top(self) -> Coarsening:
        """The children of the root as groups: the coarse labels of a subclass study."""
        return self.coarsen(*self.roots)

    def coarsen(self, *groups: str) -> Coarsening:
        """Return named groups of leaves; what no group names becomes one more group.

        Each argument is an expression over nodes (see `parse`).
        `tree.coarsen("infection")` is {everything else} | {infection}.

        Raises:
            LabelError: groups overlap.
        """
        return Coarsening.of(self, groups)

    def parse(self, expression: str | Sequence[str]) -> frozenset[int]:
        """Return the leaves that an expression denotes.

        `"lung"`: the leaves under that node. `["lung", "rest"]` (or `"lung+rest"`): the union.
        `"not infection"`: the complement. `"any"`: every leaf, which is to say "ignore".

        Raises:
            LabelError: An unknown name, or an expression that denotes no leaf at all.
        """
        if isinstance(expression, str):
            leaves = self._parse_text(expression)
        elif isinstance(expression, list | tuple) and expression:
            leaves = frozenset().union(*(self.parse(part) for part in expression))
        else:
            raise LabelError(
                f"{expression!r} does not denote leaves; expected a node, a list of nodes, "
                "'not NODE' or 'any'. (Quote names that YAML reads as numbers or booleans.)"
            )
        if not leaves:
            raise LabelError(f"{expression!r} denotes no leaf at all; say 'any' to ignore voxels.")
        return leaves

    def _parse_text(self, text: str) -> frozenset[int]:
        text = text.strip()
        if text in self:
            return self.leaves_under(text)
        if text == "any":
            return self.all_leaves
        if text.startswith("not "):
            return self.all_leaves - self._parse_text(text[4:])
        if "+" in text:
            return frozenset().union(*(self._parse_text(part) for part in text.split("+")))
        return self.leaves_under(text)  # raises with the list of known names

    def to_dict(self) -> dict[str, Any]:
        """Make the nested mapping that makes an equal tree."""

        def nest(names: tuple[str, ...]) -> dict[str, Any]:
            return {n: nest(self._children[n]) for n in names}

        return nest(self._roots)

    def draw(self, notes: Mapping[str, str] | None = None) -> str:
        """Write the tree as text, one node a line, with `notes` behind the nodes they name."""
        return "\n".join(["*", *self._lines(self._roots, "", notes or {})])

    def _lines(
        self, names: tuple[str, ...], indent: str, notes: Mapping[str, str]
    ) -> Iterator[str]:
        for name in names:
            last = name == names[-1]
            marks = [m for m, on in (("remainder", name == self.remainder),
                                     ("virtual", name in self.virtual)) if on]  # fmt: skip
            tail = f"  ({', '.join(marks)})" if marks else ""
            tail += f"  {notes[name]}" if name in notes else ""
            yield f"{indent}{'└── ' if last else '├── '}{name}{tail}"
            yield from self._lines(
                self._children[name], indent + ("    " if last else "│   "), notes
            )
