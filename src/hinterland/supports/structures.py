"""Which structures of a source are wanted, and the node of the label tree each one becomes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

from hinterland.labels import LabelSpec, LabelTree
from hinterland.types import HinterlandError

_SHOWN = 40  # names listed in a message


@dataclass(frozen=True)
class Structure:
    """One node of the tree and the names in the source that make it up."""

    node: str
    sources: tuple[str, ...]


def choose(
    patterns: Sequence[str], available: Sequence[str], skip: Collection[str] = ()
) -> tuple[Structure, ...]:
    """Choose the structures that `patterns` pick out of `available`, in the order of the patterns.

    A pattern is `NAME`, `NAME=NODE`, or a glob of either kind: `lung_*=lung` makes one node of all
    lobes, `rib_*` gives each rib a node of its own. `all` stands for `*`. A glob skips what an
    earlier pattern has taken, and the names in `skip`. Where masks overlap, the structure that
    stands first wins.

    Args:
        patterns: what is asked for.
        available: the source's names.
        skip: names that a glob passes over.

    Returns:
        The structures.

    Raises:
        HinterlandError: a pattern that picks nothing, or a name that is picked twice.
    """
    nodes: dict[str, list[str]] = {}
    taken: set[str] = set()
    for pattern in patterns:
        wanted, _, node = (part.strip() for part in pattern.partition("="))
        wanted = "*" if wanted == "all" and "all" not in available else wanted
        exact = wanted in available
        picked = [wanted] if exact else [
            n for n in available if fnmatchcase(n, wanted) and n not in taken and n not in skip
        ]  # fmt: skip
        if not picked or ("=" in pattern and not node):
            raise HinterlandError(_nothing(pattern, wanted, available, skip))
        if exact and wanted in taken:
            raise HinterlandError(f"the structure {wanted!r} is asked for twice; name it once.")
        taken.update(picked)
        for name in picked:
            nodes.setdefault(node or name, []).append(name)
    return tuple(Structure(node, tuple(names)) for node, names in nodes.items())


def check_nodes(structures: Sequence[Structure], spec: LabelSpec) -> None:
    """Refuse structures that would speak for the lesion, or for the background itself.

    Raises:
        HinterlandError: nothing to add, a structure whose node lies inside the target, or one that
            holds the tree's remainder.
    """
    tree = spec.tree
    if not structures:
        raise HinterlandError("the source has no structure to add; name some with --structures.")
    lesions, remainder = lesion_leaves(spec), tree.leaf_names.index(tree.remainder)
    for structure in structures:
        if structure.node not in tree:
            LabelTree({structure.node: {}, "_": {}})  # LabelError where it cannot name a class
            continue
        leaves = tree.leaves_under(structure.node)
        advice = f"Give it a node of its own: --structures {structure.sources[0]}=NAME."
        if leaves <= lesions:
            raise HinterlandError(
                f"the structure {structure.node!r} is (part of) the target "
                f"{_names(spec, lesions)}, whose labels come from the data set alone. Leave it out "
                f"of --structures, or: {advice}"
            )
        if remainder in leaves:
            raise HinterlandError(
                f"the structure {structure.node!r} is what no other class claims in this data set "
                f"(the remainder {tree.remainder!r} is below it). {advice}"
            )


def not_supports(spec: LabelSpec, names: Sequence[str]) -> set[str]:
    """Return those of `names` that are the target or the background here: no glob picks them."""
    tree, lesions = spec.tree, lesion_leaves(spec)
    return {
        n for n in names if n in tree and (tree.leaves_under(n) <= lesions or n == tree.remainder)
    } | ({"background"} & set(names))


def lesion_leaves(spec: LabelSpec) -> frozenset[int]:
    """Return the leaves asked for by default: a lesion may lie inside any support structure."""
    target = spec.target
    return frozenset().union(*(target.groups[i] for i in target.foreground))


def _names(spec: LabelSpec, leaves: frozenset[int]) -> str:
    return ", ".join(spec.tree.leaf_names[i] for i in sorted(leaves))


def _nothing(pattern: str, wanted: str, available: Sequence[str], skip: Collection[str]) -> str:
    left = [n for n in available if n in skip and fnmatchcase(n, wanted)]
    why = f" ({', '.join(left)}: target or background of this data set.)" if left else ""
    near = get_close_matches(wanted, available, n=3)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    shown = ", ".join(available[:_SHOWN]) or "nothing"
    more = f" and {len(available) - _SHOWN} more" if len(available) > _SHOWN else ""
    return (
        f"--structures {pattern!r} picks nothing out of the source.{hint}{why} It has: "
        f"{shown}{more}. Expected NAME, NAME=NODE, or globs such as lung_*=lung, separated by "
        "commas."
    )
