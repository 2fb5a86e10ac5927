"""Image labels correct pseudo masks: the *boosted* part of semi-supervised training (paper 5).

A negative image has no voxel of the class: its probability goes to the class that the image label
allows, or to the background. A positive image with an empty mask is known to be wrong, and how is
not: it is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from hinterland.labels import Coarsening, LabelTree


def known_nodes(
    image_labels: Mapping[str, int | str],
    tree: LabelTree,
    column: str | None = None,
    values: Collection[str] = (),
) -> dict[str, int]:
    """Return node -> 1 (present) or 0 (absent), as far as the image labels say.

    A column named like a node says it of that node. So does a free column whose values are names of
    nodes, such as a diagnosis: the node of the image's own value is present, those of the other
    values are absent.

    Args:
        image_labels: column -> value of one image.
        tree: the label tree.
        column: a free column, if there is one.
        values: all that stand in it over the whole data set.

    Returns:
        What is known.
    """
    found = {n: int(v) for n, v in image_labels.items() if n in tree and str(v) in ("0", "1")}
    if column is not None and column in image_labels:
        own = str(image_labels[column])
        found |= {v: int(v == own) for v in sorted(values) if v in tree}
    return found


def boosted(
    probabilities: np.ndarray,
    cells: Coarsening,
    known: Mapping[str, int],
    *,
    alternatives: Collection[str] = (),
) -> np.ndarray | None:
    """Correct a pseudo mask by image labels.

    The probability of a cell inside an absent node goes to the cells that the image label allows in
    its place (in proportion to their own), so that a lesion that was found stays found: those of a
    present node that holds the absent one, that lies under the same node of the foreground, or
    that is an alternative to it. Where there are none it goes to the background. Presence is judged
    after that. Cells that only touch a node say nothing of it.

    Args:
        probabilities: Of the cells, (cells, *space), summing to 1 over the first axis.
        cells: What the channels stand for.
        known: Node -> 1 (present) or 0 (absent).
        alternatives: Nodes of which the image holds exactly one, such as the values of a column.

    Returns:
        Index of the most probable cell for each voxel, (*space); None where the image is left out:
        a present node has no voxel, and what is wrong with the mask is not known.

    >>> tree = LabelTree({"background": {}, "lesion": {"benign": {}, "malignant": {}}})
    >>> p = np.array([[0.4, 0.9], [0.35, 0.1], [0.25, 0.0]])
    >>> boosted(p, tree.leaves, {"malignant": 1, "benign": 0}).tolist()
    [2, 0]
    """
    result = np.array(probabilities, dtype=float)
    absent = {i for node, present in known.items() if not present for i in _inside(cells, node)}
    for node in [n for n, present in known.items() if not present]:
        heirs = sorted(_in_place_of(node, cells, known, alternatives) - absent)
        lost = [i for i in _inside(cells, node) if i in absent]
        mass = result[lost].sum(axis=0)
        result[lost] = 0.0
        if not heirs:
            result[cells.background] += mass
            continue
        own = result[heirs] + 1e-12
        result[heirs] += mass * own / own.sum(axis=0)
    mask = result.argmax(axis=0)
    for node, present in known.items():
        inside = _inside(cells, node)
        if present and len(inside) and not np.isin(mask, inside).any():
            return None
    return mask


def _in_place_of(
    absent: str, cells: Coarsening, known: Mapping[str, int], alternatives: Collection[str]
) -> set[int]:
    """Return the cells of the present nodes that may stand where a model said `absent`."""
    tree = cells.tree
    around = {absent, *_above(tree, absent)}
    background = cells.groups[cells.background]
    foreground = {n for n in around if not tree.leaves_under(n) & background}
    found: set[int] = set()
    for node, present in known.items():
        shares = foreground & {node, *_above(tree, node)}
        if present and (shares or (node in alternatives and absent in alternatives)):
            found |= set(_inside(cells, node))
    return found


def _above(tree: LabelTree, node: str) -> list[str]:
    """List the nodes above, from the nearest on."""
    found: list[str] = []
    above = tree.parent(node)
    while above is not None:
        found.append(above)
        above = tree.parent(above)
    return found


def _inside(cells: Coarsening, node: str) -> list[int]:
    leaves = cells.tree.leaves_under(node)
    return [i for i, group in enumerate(cells.groups) if group <= leaves]
