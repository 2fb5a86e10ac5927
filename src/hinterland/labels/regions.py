"""nnU-Net's dataset.json labels (plain, regions, ignore) as a tree, a scheme and questions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hinterland.errors import LabelError
from hinterland.labels.tree import LabelTree

LARGEST = 2**15 - 1


def tree_of_dataset_json(labels: Any) -> tuple[LabelTree, dict[int, Any], Any]:
    """Return tree, integer -> expression, and target of a dataset.json's `labels`.

    Plain labels (name -> integer) give a flat tree whose leaves are the labels. Regions (name ->
    list of integers) become inner nodes, each integer a leaf, as long as they nest; regions that
    overlap without nesting become unions in questions of their own. The integers of `ignore` mean
    "any leaf". Label 0 is the remainder, whatever the other labels are called.

    Raises:
        LabelError: anything nnU-Net could not mean either.
    """
    if not isinstance(labels, Mapping) or not labels:
        raise LabelError(f"`labels` is {labels!r}; expected a mapping, name -> integer.")
    sets = {str(name): _integers(name, value) for name, value in labels.items()}
    ignore = sets.pop("ignore", frozenset())
    background = sets.pop("background", frozenset({0}))
    if background != {0}:
        raise LabelError(f"label 'background' is {sorted(background)}; expected 0, as in nnU-Net.")
    for name, integers in sets.items():
        if integers & (ignore | {0}):
            raise LabelError(
                f"label {name!r} holds {sorted(integers)}; expected none of 0, which is the label "
                f"`background`, nor of the integers of `ignore` ({sorted(ignore)})."
            )
    if 0 in ignore:
        raise LabelError("label 'ignore' is 0, which is the label `background`; use another one.")
    values: dict[int, Any] = {0: "background"} | dict.fromkeys(sorted(ignore), "any")
    leaves = _leaf_names(sets, taken=set(values))
    values |= leaves
    if len({frozenset(s) for s in sets.values()}) < len(sets):
        raise LabelError(f"two labels have the same integers: {dict(labels)}. Remove one of them.")
    nested = all(a <= b or b <= a or not a & b for a in sets.values() for b in sets.values())
    if not nested:
        tree = LabelTree(
            {"background": {}, **{n: {} for n in leaves.values()}}, remainder="background"
        )
        return tree, values, {name: _either(tree, name, s, leaves) for name, s in sets.items()}
    tree = LabelTree({"background": {}, **_nest(sets, leaves)}, remainder="background")
    if all(len(s) == 1 for s in sets.values()):
        return tree, values, None
    return tree, values, {name: [name] for name in sets}


def _integers(name: Any, value: Any) -> frozenset[int]:
    items = value if isinstance(value, list | tuple) else [value]
    if not items or not all(is_file_integer(i) for i in items):
        raise LabelError(
            f"label {name!r} is {value!r}; expected an integer from 0 to {LARGEST}, or a list of "
            "them for a region. (nnU-Net v2 writes name: integer; version 1 had it the other way "
            "round.)"
        )
    return frozenset(items)


def is_file_integer(value: Any) -> bool:
    """Tell whether a label file may hold the value: they are read as int16, and -1 is padding."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST


def _either(
    tree: LabelTree, name: str, integers: frozenset[int], leaves: Mapping[int, str]
) -> dict[str, list[str]]:
    """Name a region and everything outside it as groups."""
    inside = [leaves[i] for i in sorted(integers)]
    return {f"not {name}": [n for n in tree.leaf_names if n not in inside], name: inside}


def _leaf_names(sets: Mapping[str, frozenset[int]], taken: set[int]) -> dict[int, str]:
    """Return integer -> leaf name: the label that means just this integer, else `label N`."""
    single = {next(iter(s)): n for n, s in sets.items() if len(s) == 1}
    every = sorted(set().union(*sets.values()) - taken) if sets else []
    return {i: single.get(i, f"label {i}") for i in every}


def _nest(sets: Mapping[str, frozenset[int]], leaves: Mapping[int, str]) -> dict[str, Any]:
    """Nest regions, the largest outside; integers without a region of their own lie inside."""
    nodes: dict[str, Any] = {}
    members = frozenset().union(*sets.values()) if sets else frozenset()
    outer = [n for n, s in sets.items() if not any(s < t for t in sets.values())]
    for name in sorted(outer, key=lambda n: min(sets[n])):
        inner = {n: s for n, s in sets.items() if s < sets[name]}
        below = _nest(inner, leaves)
        loose = sets[name] - frozenset().union(*inner.values())
        if len(sets[name]) > 1:
            below = {leaves[i]: {} for i in sorted(loose)} | below
        nodes[name] = below
        members -= sets[name]
    return nodes
