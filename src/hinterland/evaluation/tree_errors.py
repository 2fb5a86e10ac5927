"""Errors priced by how far apart reference and prediction are in the label tree.

To take one lobe of the lung for the other is a smaller error than to take either for the heart;
Dice of each class calls both the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hinterland.data.dataset.decoded import decoded_at
from hinterland.evaluation.folders import Progress
from hinterland.evaluation.masks import GroupMap, decidable, encode
from hinterland.evaluation.pairing import (
    annotated,
    case_pairs,
    file_pairs,
    predicted_in,
    prediction_values,
    read_pair,
)
from hinterland.evaluation.sources import find_spec
from hinterland.labels import Coarsening, LabelSpec, LabelTree
from hinterland.types import Case

KINDS = ("sibling", "cousin", "background")


def leaf_distances(tree: LabelTree) -> np.ndarray:
    """Count the edges between leaves, over their nearest common ancestor.

    Args:
        tree: A label tree; its root is the ancestor of all nodes.

    Returns:
        (leaves, leaves), whole numbers: 0 on the diagonal, 2 between siblings.

    Example:
        >>> tree = LabelTree({"background": {"lung": {}, "rest": {}}, "infection": {}})
        >>> leaf_distances(tree).tolist()
        [[0, 2, 3], [2, 0, 3], [3, 3, 0]]
    """
    ways = [_way(tree, name) for name in tree.leaf_names]
    found = np.zeros((len(ways), len(ways)), int)
    for i, a in enumerate(ways):
        for j, b in enumerate(ways):
            common = next(k for k, node in enumerate(a) if node in b)
            found[i, j] = common + b.index(a[common])
    return found


def _way(tree: LabelTree, leaf: str) -> list[str | None]:
    """List a leaf, its ancestors, and the root (None)."""
    way: list[str | None] = [leaf]
    while way[-1] is not None:
        way.append(tree.parent(way[-1]))
    return way


@dataclass(frozen=True)
class TreeErrors:
    """The errors of one segmentation, as shares of the voxels that count.

    Voxels count where the reference or the prediction is something else than the remainder, and the
    reference says anything at all.

    Attributes:
        tree_distance: The mean price of a voxel: 0 where it is right, 1 where reference and
            prediction are as far apart as the tree allows, in between by their distance.
        error: Share of voxels that are wrong.
        sibling: Of them, between two leaves of one parent.
        cousin: Between leaves further apart.
        background: Where one of the two is the remainder: missed, or found where nothing is.
        voxels: How many count.
    """

    tree_distance: float
    error: float
    sibling: float
    cousin: float
    background: float
    voxels: int


def tree_errors(pairs: np.ndarray, sets: Sequence[frozenset[int]], at: Coarsening) -> TreeErrors:
    """Price the errors of a table of voxels.

    Where the reference leaves a voxel open (an inner node), a prediction inside it is right, and
    one outside is priced by the nearest leaf that it may be.

    Args:
        pairs: (sets, groups): voxels that the reference says may be the leaves `sets[i]`, and that
            are predicted as group j of `at`.
        sets: The sets of leaves of the rows.
        at: The groups that are predicted; the group with the remainder is the background.

    Returns:
        The shares; NaN where no voxel counts.
    """
    tree = at.tree
    distances = leaf_distances(tree)
    rest = tree.leaf_names.index(tree.remainder)
    totals = dict.fromkeys(("price", "error", *KINDS, "all"), 0.0)
    for i, leaves in enumerate(sets):
        for j, group in enumerate(at.groups):
            count = float(pairs[i, j])
            outside = group == at.groups[at.background]
            if not count or leaves == tree.all_leaves or (outside and rest in leaves):
                continue
            totals["all"] += count
            if leaves & group:
                continue
            apart = int(distances[np.ix_(sorted(leaves), sorted(group))].min())
            kind = "sibling" if apart == 2 else "cousin"
            if outside or rest in leaves:
                kind = "background"
            totals["price"] += count * apart / distances.max()
            totals["error"] += count
            totals[kind] += count
    if not totals["all"]:
        nan = float("nan")
        return TreeErrors(nan, nan, nan, nan, nan, 0)
    share = {name: total / totals["all"] for name, total in totals.items()}
    return TreeErrors(
        share["price"], share["error"], share["sibling"], share["cousin"], share["background"],
        int(totals["all"]),
    )  # fmt: skip


def count_pairs(
    prediction: GroupMap, reference: GroupMap
) -> tuple[np.ndarray, list[frozenset[int]]]:
    """Count the voxels of each pair of what the reference says and what is predicted.

    Args:
        prediction: Groups of a question, decided everywhere.
        reference: The same question's; undecided voxels keep their set of leaves.

    Returns:
        (sets, groups) voxels, and the sets of leaves.
    """
    sets = [*reference.at.groups, *reference.open_sets]
    groups = len(prediction.at)
    codes = reference.codes.astype(np.int64) * groups + prediction.codes
    counts = np.bincount(codes.ravel(), minlength=len(sets) * groups)
    return counts.reshape(len(sets), groups), sets


def tree_error_table(
    predictions: Path | str,
    references: Path | str | Sequence[Case],
    *,
    spec: LabelSpec | Path | str | None = None,
    at: str = "leaves",
    cases: Iterable[str] | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Price the errors of a folder of predictions.

    Args:
        predictions: Folder of label files.
        references: Folder of label files, or the cases of a data set.
        spec: What the references' integers mean; default, the nearest on disk.
        at: The question that is answered.
        cases: Only these; default, all references.
        progress: Called with (done, total) after each case.

    Returns:
        A row for each case: case, group, and the fields of `TreeErrors`.

    Raises:
        HinterlandError: As `evaluate_folders`; a prediction that leaves the question open.
    """
    folder = Path(predictions)
    if isinstance(references, str | Path):
        pairs = file_pairs(folder, Path(references), cases)
    else:
        pairs = case_pairs(folder, references, cases)
    known = find_spec(spec, pairs, folder)
    question = known.question(at)
    pairs = annotated([p.with_spec(known) for p in pairs])
    place = decoded_at(folder, question)
    if place != folder:
        pairs = predicted_in(place, pairs)
    meaning = prediction_values(place, known)
    rows: list[dict[str, Any]] = []
    for done, pair in enumerate(pairs, start=1):
        prediction, labels, _, _ = read_pair(pair)
        what = f"{pair.name}: the prediction"
        found = decidable(encode(prediction, meaning, question, what), meaning, what)
        values = known.scheme(pair.scheme).label_values
        truth = encode(labels, values, question, f"{pair.name}: the reference")
        errors = tree_errors(*count_pairs(found, truth), question)
        rows.append({"case": pair.name, "group": pair.group, **vars(errors)})
        if progress:
            progress(done, len(pairs))
    return pd.DataFrame(rows)
