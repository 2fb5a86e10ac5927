"""Segmentations decoded at several questions: a folder within the folder for each.

    predictions/            the most probable class of all that the model tells apart
    predictions/at/target/  the most probable group of `target`, probabilities summed before

The two answer a coarser question differently: three organs of 0.2 each outvote a lesion of 0.4.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hinterland.data.dataset.files import read_json
from hinterland.data.io.files import remove
from hinterland.labels import Coarsening, LabelTree

log = logging.getLogger(__name__)

PLACE = "at"
DESCRIPTION = "dataset.json"
_GROUPS = "groups"
Groups = Mapping[str, frozenset[int]]


def folder_at(folder: Path, question: str) -> Path:
    """Return the folder within `folder` for what is decoded at a question."""
    return folder / PLACE / "".join(c if c.isalnum() or c in "-_" else "-" for c in question)


def described(at: Coarsening) -> dict[str, Any]:
    """Return what dataset.json says of the groups that were decoded, beside their integers."""
    return {_GROUPS: at.to_dict()}


def groups_of_folder(folder: Path, tree: LabelTree) -> Groups | None:
    """Read which groups of leaves the segmentations in a folder tell apart.

    Args:
        folder: a folder of segmentations.
        tree: the tree of the question; leaves that it lacks (virtual classes) are left out.

    Returns:
        Name -> leaves; None where the folder does not say, or not of this tree.
    """
    path = folder / DESCRIPTION
    content = read_json(path) if path.is_file() else {}
    said = content.get(_GROUPS) if isinstance(content, dict) else None
    if not isinstance(said, dict):
        return None
    number = {name: i for i, name in enumerate(tree.leaf_names)}
    groups = {n: frozenset(number[k] for k in leaves if k in number) for n, leaves in said.items()}
    groups = {name: leaves for name, leaves in groups.items() if leaves}
    return groups if frozenset().union(*groups.values()) == tree.all_leaves else None


def decoded_at(folder: Path, at: Coarsening) -> Path:
    """Find the segmentations to be judged at a question.

    Questions are told by their groups, whatever they are called.

    Args:
        folder: a folder of segmentations.
        at: the question.

    Returns:
        The folder in it that was decoded at the question; `folder` itself where there is none.
    """
    asked = set(at.groups)
    own = groups_of_folder(folder, at.tree)
    if own is None or set(own.values()) == asked:
        return folder
    for place in _decoded(folder):
        found = groups_of_folder(place, at.tree)
        if found is not None and set(found.values()) == asked:
            return place
    log.warning(
        "%s was not decoded at the question (%s): the most probable of %d classes is merged, which "
        "may differ from the most probable group. For the latter: hinterland predict --at.",
        folder, at, len(own),
    )  # fmt: skip
    return folder


def forget_decoded(folder: Path, keep: Iterable[Path] = ()) -> None:
    """Remove what was decoded from segmentations that are replaced, but for the folders `keep`."""
    kept = set(keep)
    for place in _decoded(folder):
        if place not in kept:
            remove(place)


def _decoded(folder: Path) -> list[Path]:
    """List the folders of `folder` that say what they were decoded at."""
    return sorted(p.parent for p in (folder / PLACE).glob(f"*/{DESCRIPTION}"))
