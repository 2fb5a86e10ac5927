"""False positives: how many cases without the class have any, and which structure holds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hinterland.evaluation.folders import GroupMasks, Row, iterate_masks
from hinterland.evaluation.grid import read_label_on
from hinterland.evaluation.masks import GroupMap, encode
from hinterland.evaluation.metrics.case import Questions
from hinterland.evaluation.metrics.overlap import millilitres
from hinterland.evaluation.pairing import label_files, prediction_values
from hinterland.labels import LabelSpec
from hinterland.types import Case, HinterlandError


def cases_without_class(table: pd.DataFrame) -> pd.DataFrame:
    """Count false positives on the cases whose reference lacks the class.

    Returns:
        One row per method, coarsening and class: `cases` (with an empty reference),
        `with_prediction` (those with any predicted voxel), `share`, and the mean and largest volume
        predicted on them (`mean_ml`, `largest_ml`; NaN where the unit is voxels). A case with
        several seeds counts with each of them.
    """
    keys = [k for k in ("method", "coarsening", "class") if k in table.columns]
    rows = []
    for key, part in table.groupby(keys, sort=False, dropna=False):
        empty = part[part["reference_voxels"] == 0]
        hit = int((empty["prediction_voxels"] > 0).sum())
        rows.append(
            dict(zip(keys, key, strict=True))
            | {"cases": len(empty), "with_prediction": hit}
            | {"share": hit / len(empty) if len(empty) else float("nan")}
            | {"mean_ml": empty["prediction_ml"].mean()}
            | {"largest_ml": empty["prediction_ml"].max()}
        )
    return pd.DataFrame(rows)


def locate(false_positives: np.ndarray, support: GroupMap) -> dict[str, int]:
    """Count the false-positive voxels in every structure of `support`, by its name.

    Where the support label is an inner node, the structure is that node.
    """
    at, tree = support.at, support.at.tree
    counts = np.bincount(support.codes[false_positives], minlength=len(at))
    result = {name: int(counts[i]) for i, name in enumerate(at.names)}
    for i, leaves in enumerate(support.open_sets):
        code = len(at) + i
        name = tree.node_for(leaves) or "+".join(tree.leaf_names[k] for k in sorted(leaves))
        result[name] = int(counts[code]) if code < len(counts) else 0
    return result


def false_positives_by_structure(
    predictions: Path | str,
    references: Path | str | Sequence[Case],
    *,
    support: Path | str | None = None,
    spec: LabelSpec | Path | str | None = None,
    at: Questions | str | None = None,
    cases: Iterable[str] | None = None,
    threads: int | None = None,
) -> pd.DataFrame:
    """Find which structure holds the false positives of each class, if the background is divided.

    A false positive is a voxel predicted inside the group that the reference decides to lie
    outside.

    Args:
        predictions: folder of label files.
        references: folder of label files, or cases.
        support: folder of label files that name the structures, e.g. the full prediction of a model
            with support structures; default, the references themselves.
        spec: the labels, or their file; default, the nearest on disk.
        at: the question or questions; default, those of the labels.
        cases: only these; default, all.
        threads: cases at a time; default, as `evaluate_folders`.

    Returns:
        One row per case, class and structure (leaves of the tree, or inner nodes where the support
        is no finer): `voxels`, `ml` (NaN without a physical spacing), and `share` of the case's
        false positives of that class (NaN without any).

    Raises:
        HinterlandError: a case has no support labels, or as `evaluate_folders`.
    """
    files = None if support is None else label_files(Path(support), "support structures")

    def structures(masks: GroupMasks, known: LabelSpec) -> GroupMap:
        leaves = known.tree.leaves
        if files is None or support is None:
            what = f"{masks.case}: the reference"
            return encode(masks.labels, masks.scheme.label_values, leaves, what)
        if masks.case not in files:
            raise HinterlandError(
                f"{support} has no support labels for the case {masks.case}."
                " Add its support labels, or leave the support out."
            )
        array = read_label_on(
            files[masks.case], masks.file, masks.case, "the support labels", "the reference"
        )
        meaning = prediction_values(Path(support), known)
        return encode(array, meaning, leaves, f"{masks.case}: the support labels")

    def rows(masks: GroupMasks, known: LabelSpec) -> list[Row]:
        wrong = masks.prediction & ~masks.reference
        total = int(np.count_nonzero(wrong))
        voxel = millilitres(masks.spacing) if masks.physical else float("nan")
        return [
            {"structure": name, "voxels": voxels, "ml": voxels * voxel}
            | {"share": voxels / total if total else float("nan")}
            for name, voxels in locate(wrong, structures(masks, known)).items()
        ]

    return pd.DataFrame(
        iterate_masks(rows, predictions, references, spec=spec, at=at, cases=cases, threads=threads)
    )
