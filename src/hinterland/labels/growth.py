"""How the cells of a finer model lie in those of a coarser one, also across label trees."""

from __future__ import annotations

from hinterland.errors import LabelError
from hinterland.labels.coarsening import Coarsening


def parents(cells: Coarsening, known: Coarsening) -> list[int]:
    """Return, for each of `cells`, the number of the group of `known` that it lies in.

    The trees may differ, because supports were added later: a leaf of the older tree is found by
    its name (the leaves below it, if it has become an inner node), and the older remainder holds
    all that no other name claims. So {background, lesion} is the parent of {lung, rest, lesion}.

    Raises:
        LabelError: a leaf without a counterpart, or a cell that lies across two groups.
    """
    tree, old = cells.tree, known.tree
    claimed: dict[int, frozenset[int]] = {}
    for leaf, name in enumerate(old.leaf_names):
        if name in tree:
            claimed[leaf] = tree.leaves_under(name)
        elif name != old.remainder and name not in old.virtual:
            raise LabelError(
                f"the older model knows the class {name!r}, which the label tree does not have "
                f"({list(tree.nodes)}). Keep its classes when you add others."
            )
    rest = old.leaf_names.index(old.remainder)
    others = [leaves for leaf, leaves in claimed.items() if leaf != rest]
    claimed[rest] = tree.all_leaves.difference(*others)
    groups = [frozenset().union(*(claimed.get(i, frozenset()) for i in g)) for g in known.groups]
    found = []
    for name, cell in zip(cells.names, cells.groups, strict=True):
        inside = [i for i, group in enumerate(groups) if cell <= group]
        if len(inside) != 1:
            raise LabelError(
                f"the class {name!r} does not lie inside one class of the older model, which knows "
                f"({known}). A model can only be grown into a finer one."
            )
        found.append(inside[0])
    if set(found) != set(range(len(known))):
        lost = [n for i, n in enumerate(known.names) if i not in found]
        raise LabelError(
            f"the older model's {lost} would be lost: nothing lies inside of it."
            " Keep that class in the new label tree."
        )
    return found
