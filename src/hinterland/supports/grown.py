"""A label specification with more leaves: what was the remainder is divided among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hinterland.labels import Coarsening, LabelSpec, LabelTree, Scheme

Leaves = frozenset[int]
_PLAIN_REMAINDERS = ("rest", "other")


@dataclass(frozen=True)
class Grown:
    """A specification after new leaves were added, and where the old leaves went."""

    spec: LabelSpec
    moved: Callable[[Leaves], Leaves]


def grow(spec: LabelSpec, nodes: Sequence[str]) -> Grown:
    """Add those of `nodes` that the tree does not have as leaves of the remainder.

    The remainder leaf becomes an inner node that holds the new leaves and a new remainder `rest`;
    a remainder that is called `rest` or `other` already keeps its name and gets the new leaves as
    siblings (inside a node `background` if it stood at the top, so that the top level keeps its
    meaning). Every set of leaves that held the old remainder holds the new leaves, too: what a
    label file called background may now be any of them.
    """
    tree = spec.tree
    new = [n for n in dict.fromkeys(nodes) if n not in tree]
    if not new:
        return Grown(spec, lambda leaves: leaves)
    taken = {*tree.nodes, *new}
    old = tree.remainder
    plain = old in _PLAIN_REMAINDERS
    remainder = old if plain else _free(["rest", "other", f"rest of {old}"], taken)
    outside = _free(["background", "not the target", "all else"], taken)

    def rebuild(name: str) -> dict[str, Any]:
        if name != old:
            return {name: nest(tree.children(name))}
        leaves: dict[str, Any] = {**{n: {} for n in new}, remainder: {}}
        if not plain:
            return {old: leaves}
        return leaves if tree.parent(old) is not None else {outside: leaves}

    def nest(names: Sequence[str]) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for name in names:
            built |= rebuild(name)
        return built

    larger = LabelTree(nest(tree.roots), remainder=remainder, virtual=tree.virtual - {old})
    place = {
        i: larger.leaves_under(n) if n != old else larger.leaves_under(remainder)
        for i, n in enumerate(tree.leaf_names)
    }
    place[tree.leaf_names.index(old)] |= frozenset(larger.leaf_names.index(n) for n in new)

    def moved(leaves: Leaves) -> Leaves:
        return frozenset().union(*(place[i] for i in leaves))

    return Grown(_with_tree(spec, larger, moved), moved)


def _free(names: Sequence[str], taken: set[str]) -> str:
    """Return the first name that is free; numbers are appended to the last one until one is."""
    free = [n for n in names if n not in taken]
    if free:
        return free[0]
    number = 2
    while f"{names[-1]} {number}" in taken:
        number += 1
    return f"{names[-1]} {number}"


def _with_tree(spec: LabelSpec, tree: LabelTree, moved: Callable[[Leaves], Leaves]) -> LabelSpec:
    return replace(
        spec,
        tree=tree,
        schemes={
            name: Scheme(name, tree, tuple((v, moved(s)) for v, s in scheme.values))
            for name, scheme in spec.schemes.items()
        },
        questions={
            name: Coarsening(tree, q.names, tuple(moved(g) for g in q.groups))
            for name, q in spec.questions.items()
        },
    )


def compact(spec: LabelSpec) -> Mapping[str, Any]:
    """Return `spec.to_dict()` as a person would write it.

    A question is written as its foreground where that gives exactly the same groups.
    """
    data = spec.to_dict()
    questions: dict[str, Any] = {}
    for name, question in spec.questions.items():
        foreground = [question.names[i] for i in question.foreground]
        exact = (
            all(n in spec.tree for n in foreground)
            and Coarsening.of(spec.tree, foreground) == question
        )
        questions[name] = foreground if exact else question.to_dict()
    lists = all(isinstance(q, list) for q in questions.values())
    single = lists and list(questions) == ["target"]
    data["target"] = questions["target"] if single else questions
    if data["remainder"] == LabelTree(spec.tree.to_dict()).remainder:
        del data["remainder"]
    return data
