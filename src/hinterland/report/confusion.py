"""Confusion inside superclasses: which subclass is taken for which."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hinterland.evaluation.masks import GroupMap, decidable, encode
from hinterland.evaluation.metrics.case import available_threads, thread_map
from hinterland.evaluation.pairing import (
    Pair,
    annotated,
    case_pairs,
    file_pairs,
    prediction_values,
    read_pair,
)
from hinterland.evaluation.sources import find_spec
from hinterland.labels import Coarsening, LabelSpec, LabelTree
from hinterland.types import Case

OUTSIDE = "outside"


def outside(tree: LabelTree) -> str:
    """Name what lies outside a superclass, as no class of the tree is named."""
    name = OUTSIDE
    while name in tree:
        name = f"({name})"
    return name


def superclasses(at: Coarsening) -> dict[str, dict[str, list[int]]]:
    """Map inner node -> child -> the groups of `at` below it, for every node that `at` divides.

    Nodes whose children are not unions of groups, as with a question that is coarser, are left out.
    """
    tree, found = at.tree, {}
    for node in tree.nodes:
        parts = {child: tree.leaves_under(child) for child in tree.children(node)}
        inside = {c: [i for i, g in enumerate(at.groups) if g <= s] for c, s in parts.items()}
        covered = all(
            frozenset().union(*(at.groups[i] for i in inside[c])) == s for c, s in parts.items()
        )
        if len(parts) > 1 and covered:
            found[node] = inside
    return found


def count_pairs(reference: GroupMap, prediction: GroupMap) -> np.ndarray:
    """Count voxels by reference (rows) and prediction (columns): (groups, groups) int.

    Voxels on which the reference is undecided count nowhere.
    """
    groups = len(reference.at)
    known = reference.codes < groups
    pairs = reference.codes[known].astype(np.int64) * groups + prediction.codes[known]
    return np.bincount(pairs, minlength=groups * groups).reshape(groups, groups)


def subclass_confusion(
    predictions: Path | str,
    references: Path | str | Sequence[Case],
    *,
    spec: LabelSpec | Path | str | None = None,
    at: Coarsening | None = None,
    cases: Iterable[str] | None = None,
    threads: int | None = None,
) -> pd.DataFrame:
    """Count, within each superclass, the voxels of each child by what they were taken for.

    A tree without superclasses gives an empty table.

    Args:
        predictions: folder of label files.
        references: folder of label files, or cases.
        spec: the labels, or their file; default, the nearest on disk.
        at: what the model tells apart; default, the leaves.
        cases: only these; default, all.
        threads: cases at a time; default, as `evaluate_folders`.

    Returns:
        One row per case, superclass, child in the reference and child in the prediction (`OUTSIDE`:
        predicted as something outside the superclass): columns case, superclass, reference,
        predicted, voxels.

    Raises:
        HinterlandError: as `evaluate_folders`.
    """
    folder = Path(predictions)
    if isinstance(references, str | Path):
        pairs = file_pairs(folder, Path(references), cases, extra=True)
    else:
        pairs = case_pairs(folder, references, cases, extra=True)
    known = find_spec(spec, pairs, folder)
    pairs = annotated([p.with_spec(known) for p in pairs])
    meaning, asked = prediction_values(folder, known), at or known.tree.leaves

    def work(pair: Pair) -> list[dict[str, Any]]:
        prediction, labels, _, _ = read_pair(pair)
        what = f"{pair.name}: the prediction"
        pred = decidable(encode(prediction, meaning, asked, what), meaning, what)
        scheme = known.scheme(pair.scheme)
        ref = encode(labels, scheme.label_values, asked, f"{pair.name}: the reference")
        return [{"case": pair.name, **row} for row in confusion_rows(count_pairs(ref, pred), asked)]

    found = thread_map(work, pairs, threads or available_threads())
    columns = ["case", "superclass", "reference", "predicted", "voxels"]
    return pd.DataFrame([row for rows in found for row in rows], columns=columns)


def confusion_rows(counts: np.ndarray, at: Coarsening) -> list[dict[str, Any]]:
    """Make the rows of `subclass_confusion` from one case's `count_pairs`."""
    rows = []
    for node, children in superclasses(at).items():
        for child, own in children.items():
            taken = {c: int(counts[np.ix_(own, g)].sum()) for c, g in children.items()}
            taken[outside(at.tree)] = int(counts[own].sum()) - sum(taken.values())
            key = {"superclass": node, "reference": child}
            rows += [{**key, "predicted": p, "voxels": v} for p, v in taken.items()]
    return rows


def confusion_matrices(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Make superclass -> matrix of shares: a row a child in the reference, a column what it became.

    Each row sums to 1: per case the share of the child's voxels, then the mean over the cases that
    have any; NaN where none has. Further columns of `table` that tell methods or seeds apart must
    be filtered before.
    """
    matrices = {}
    for node, part in table.groupby("superclass", sort=False):
        voxels = part.pivot_table(
            index=["case", "reference"], columns="predicted", values="voxels", sort=False
        )
        order = list(dict.fromkeys(part["predicted"]))
        shares = voxels[order].div(voxels.sum(axis=1).replace(0, np.nan), axis=0)
        matrices[str(node)] = shares.groupby("reference", sort=False).mean()
    return matrices
