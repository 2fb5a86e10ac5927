"""False positives: how many healthy cases have any, and in which structure they sit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hinterland.data.volume import read_label
from hinterland.evaluation.folders import read_questions
from hinterland.evaluation.meaning import Coded, decidable, encode, groups_of
from hinterland.evaluation.overlap import millilitres
from hinterland.evaluation.pairing import (
    Pair,
    annotated,
    case_pairs,
    file_pairs,
    label_files,
    prediction_meaning,
    read_pair,
)
from hinterland.evaluation.sources import find_spec
from hinterland.evaluation.threads import available_threads, thread_map
from hinterland.labels import Coarsening, LabelSpec
from hinterland.types import Case, HinterlandError


def healthy_cases(table: pd.DataFrame) -> pd.DataFrame:
    """False positives on the cases whose reference is empty, from a metric table.

    One row per method, coarsening and class: `healthy` (cases with an empty reference),
    `with_prediction` (those with any predicted voxel), `share`, and the mean and largest volume
    predicted on them (`mean_ml`, `largest_ml`; NaN where the unit is voxels).
    """
    keys = [k for k in ("method", "coarsening", "class") if k in table.columns]
    rows = []
    for key, part in table.groupby(keys, sort=False, dropna=False):
        healthy = part[part["reference_voxels"] == 0]
        hit = int((healthy["prediction_voxels"] > 0).sum())
        rows.append(
            dict(zip(keys, key, strict=True))
            | {"healthy": len(healthy), "with_prediction": hit}
            | {"share": hit / len(healthy) if len(healthy) else float("nan")}
            | {"mean_ml": healthy["prediction_ml"].mean()}
            | {"largest_ml": healthy["prediction_ml"].max()}
        )
    return pd.DataFrame(rows)


def locate(false_positives: np.ndarray, support: Coded) -> dict[str, int]:
    """Structure -> number of false-positive voxels in it, for every structure of `support`.

    Where the support label is an inner node, the structure is that node.
    """
    at, tree = support.at, support.at.tree
    counts = np.bincount(support.codes[false_positives], minlength=len(at))
    result = {name: int(counts[i]) for i, name in enumerate(at.names)}
    for i, leaves in enumerate(support.open_sets):
        code = len(at) + i
        name = tree.node_of(leaves) or "+".join(tree.leaf_names[k] for k in sorted(leaves))
        result[name] = int(counts[code]) if code < len(counts) else 0
    return result


def false_positives_by_structure(
    predictions: Path | str,
    references: Path | str | Sequence[Case],
    *,
    support: Path | str | None = None,
    spec: LabelSpec | Path | str | None = None,
    at: Coarsening | str | None = None,
    cases: Iterable[str] | None = None,
    threads: int | None = None,
) -> pd.DataFrame:
    """Which structure holds the false positives of each class: only sub-divided background can say.

    A false positive is a voxel predicted inside the group that the reference decides to lie
    outside. `support` is a folder of label files that names the structures, e.g. the full
    prediction of a model with support structures; default: the references themselves.
    One row per case, class and structure (leaves of the tree, or inner nodes where the support is
    no finer): `voxels`, `ml`, and `share` of the case's false positives of that class (NaN
    without any). Raises HinterlandError as `evaluate_folders` does.
    """
    folder = Path(predictions)
    if isinstance(references, str | Path):
        pairs = file_pairs(folder, Path(references), cases)
    else:
        pairs = case_pairs(folder, references, cases)
    spec = find_spec(spec, pairs, folder)
    pairs = annotated([p.with_spec(spec) for p in pairs])
    meaning = prediction_meaning(folder, spec)
    question = read_questions(spec, at)
    files = None if support is None else label_files(Path(support), "support structures")
    lacking = [] if files is None else [p.name for p in pairs if p.name not in files]
    if lacking:
        raise HinterlandError(f"{support} has no support labels for: {', '.join(lacking[:10])}.")
    support_meaning = None if support is None else prediction_meaning(Path(support), spec)
    leaves = spec.tree.leaves

    def work(pair: Pair) -> list[dict[str, Any]]:
        scheme = spec.scheme(pair.scheme)
        prediction, reference, spacing, _ = read_pair(pair)
        if files is None or support_meaning is None:
            where = encode(reference, scheme.meaning, leaves, f"{pair.name}: the reference")
        else:
            array = read_label(files[pair.name]).array[0]
            if array.shape != reference.shape:
                raise HinterlandError(
                    f"{pair.name}: the support labels have the shape {array.shape}, the reference "
                    f"{reference.shape}; both must lie on one grid."
                )
            where = encode(array, support_meaning, leaves, f"{pair.name}: the support labels")
        rows = []
        for name, coarsening in question.items():
            what = f"{pair.name}: the prediction"
            pred = decidable(encode(prediction, meaning, coarsening, what), meaning, what)
            ref = encode(reference, scheme.meaning, coarsening, f"{pair.name}: the reference")
            for group, group_name in groups_of(coarsening):
                wrong = pred.mask(group) & ~ref.mask(group)
                undecided = ref.undecided(group)
                if undecided is not None:
                    wrong &= ~undecided
                total = int(np.count_nonzero(wrong))
                for structure, voxels in locate(wrong, where).items():
                    rows.append(
                        {"case": pair.name, "class": group_name, "coarsening": name}
                        | {"structure": structure, "voxels": voxels}
                        | {"ml": voxels * millilitres(spacing)}
                        | {"share": voxels / total if total else float("nan")}
                    )
        return rows

    found = thread_map(work, pairs, threads or available_threads())
    return pd.DataFrame([row for rows in found for row in rows])
