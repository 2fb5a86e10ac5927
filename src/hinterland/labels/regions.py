"""nnU-Net's dataset.json labels (plain, regions, ignore) as a tree, a scheme and questions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hinterland.labels.tree import LabelError, LabelTree


def tree_of_dataset_json(labels: Any) -> tuple[LabelTree, dict[int, Any], Any]:
    """Tree, integer -> expression, and target of a dataset.json's `labels`.

    Plain labels (name -> integer) give a flat tree whose leaves are the labels. Regions (name ->
    list of integers) become inner nodes, each integer a leaf, as long as they nest; regions that
    overlap without nesting become unions in questions of their own.
    """
    if not isinstance(labels, Mapping) or not labels:
        raise LabelError(f"dataset.json: `labels` is {labels!r}; expected name -> integer.")
    sets = {str(name): _integers(name, value) for name, value in labels.items()}
    ignore = sets.pop("ignore", frozenset())
    background = sets.pop("background", frozenset({0}))
    if background != {0}:
        raise LabelError(f"dataset.json: background is {sorted(background)}; nnU-Net wants 0.")
    values: dict[int, Any] = {0: "background"} | dict.fromkeys(sorted(ignore), "any")
    leaves = _leaf_names(sets, taken=set(values))
    values |= leaves
    if len({frozenset(s) for s in sets.values()}) < len(sets):
        raise LabelError("dataset.json: two labels have the same integers.")
    nested = all(a <= b or b <= a or not a & b for a in sets.values() for b in sets.values())
    if not nested:
        tree = LabelTree({"background": {}, **{n: {} for n in leaves.values()}})
        target = {name: ["+".join(leaves[i] for i in sorted(s))] for name, s in sets.items()}
        return tree, values, target
    tree = LabelTree({"background": {}, **_nest(sets, leaves)})
    if all(len(s) == 1 for s in sets.values()):
        return tree, values, None
    return tree, values, {name: [name] for name in sets}


def _integers(name: Any, value: Any) -> frozenset[int]:
    items = value if isinstance(value, list | tuple) else [value]
    if not items or any(isinstance(i, bool) or not isinstance(i, int) or i < 0 for i in items):
        raise LabelError(
            f"dataset.json: label {name!r} is {value!r}; expected a non-negative integer, "
            "or a list of them for a region."
        )
    return frozenset(items)


def _leaf_names(sets: Mapping[str, frozenset[int]], taken: set[int]) -> dict[int, str]:
    """Integer -> leaf name: the label that means just this integer, else `label N`."""
    single = {next(iter(s)): n for n, s in sets.items() if len(s) == 1}
    every = sorted(set().union(*sets.values()) - taken) if sets else []
    return {i: single.get(i, f"label {i}") for i in every}


def _nest(sets: Mapping[str, frozenset[int]], leaves: Mapping[int, str]) -> dict[str, Any]:
    """Nested mapping of regions, largest outside; integers without a region of their own inside."""
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
