"""Expressions that denote sets of leaves: a node, a list of nodes, `not NODE`, `any`."""

from __future__ import annotations

from collections.abc import Sequence

from hinterland.labels.tree import LabelError, LabelTree


def parse_leaves(tree: LabelTree, expression: str | Sequence[str]) -> frozenset[int]:
    """The leaves that an expression denotes.

    `"lung"`: the leaves below that node. `["lung", "rest"]` (or `"lung+rest"`): the union.
    `"not infection"`: the complement. `"any"`: every leaf, which is to say "ignore".

    Raises
    ------
    LabelError: an unknown name, or an expression that denotes no leaf at all.
    """
    if isinstance(expression, str):
        leaves = _parse_text(tree, expression)
    elif isinstance(expression, list | tuple) and expression:
        leaves = frozenset().union(*(parse_leaves(tree, part) for part in expression))
    else:
        raise LabelError(
            f"{expression!r} does not denote leaves; expected a node, a list of nodes, "
            "'not NODE' or 'any'. (Quote names that YAML reads as numbers or booleans.)"
        )
    if not leaves:
        raise LabelError(f"{expression!r} denotes no leaf at all; say 'any' to ignore voxels.")
    return leaves


def _parse_text(tree: LabelTree, text: str) -> frozenset[int]:
    text = text.strip()
    if text in tree:
        return tree.below(text)
    if text == "any":
        return tree.every
    if text.startswith("not "):
        return tree.every - _parse_text(tree, text[4:])
    if "+" in text:
        return frozenset().union(*(_parse_text(tree, part) for part in text.split("+")))
    return tree.below(text)  # raises with the list of known names
