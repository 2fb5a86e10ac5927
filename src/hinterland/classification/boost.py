"""Image labels correct pseudo masks: the *boosted* part of semi-supervised training (paper 5).

A negative image has no voxel of the class: the mask is zeroed there. A positive image with an empty
mask is known to be wrong, and how is not: it is left out.
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
    """Node -> 1 (present) or 0 (absent), as far as the image labels say.

    A column named like a node says it of that node. With `column`, so does a free column whose
    `values` (over the whole data set) are names of nodes, such as a diagnosis: the node of the
    image's own value is present, those of the other values are absent.
    """
    found = {n: int(v) for n, v in image_labels.items() if n in tree and str(v) in ("0", "1")}
    if column is not None and column in image_labels:
        own = str(image_labels[column])
        found |= {v: int(v == own) for v in sorted(values) if v in tree}
    return found


def boosted(mask: np.ndarray, cells: Coarsening, known: Mapping[str, int]) -> np.ndarray | None:
    """Correct a pseudo mask; None where the image is left out.

    mask: index of a cell for each voxel. known: node -> 1 or 0. For an absent node, voxels of cells
    that lie inside it become background; a present node without any voxel of its cells leaves the
    image out. (Presence is judged after zeroing: a malignant lesion that was called benign leaves
    nothing of either.) Cells that only touch a node say nothing of it.
    """
    background = cells.background
    result = np.array(mask)
    for node, present in known.items():
        if not present:
            result[np.isin(result, _inside(cells, node))] = background
    for node, present in known.items():
        inside = _inside(cells, node)
        if present and len(inside) and not np.isin(result, inside).any():
            return None
    return result


def _inside(cells: Coarsening, node: str) -> list[int]:
    leaves = cells.tree.leaves_under(node)
    return [i for i, group in enumerate(cells.groups) if group <= leaves]
