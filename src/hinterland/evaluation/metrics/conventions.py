"""The same predictions under the conventions of other tools, side by side.

A convention is a set of definitions, implemented here by our own functions:

| convention | HD95 | surface distance | unit | empty masks |
| --- | --- | --- | --- | --- |
| `hinterland` | larger of both directions | symmetric | mm | `penalty`: a miss costs the diagonal |
| `monai` | larger of both directions | directed | mm | one empty: HD95 left out, ASD infinite |
| `medpy` | both directions pooled | directed | mm | both empty: left out; distances left out |
| `ssl4mis` | both directions pooled | directed | voxel | everything 0 |

MONAI and medpy measure in voxels unless they are told the spacing; here they are told.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hinterland.evaluation.folders import evaluate_folders
from hinterland.evaluation.metrics.pair import MetricSettings
from hinterland.evaluation.table import summarise
from hinterland.types import Case, HinterlandError

CONVENTIONS = {
    "hinterland": MetricSettings(),
    "monai": MetricSettings(empty="monai", average="directed"),
    "medpy": MetricSettings(empty="medpy", hausdorff="pooled", average="directed"),
    "ssl4mis": MetricSettings(
        empty="ssl4mis", hausdorff="pooled", average="directed", unit="voxel"
    ),
}
SHARED = ("dice", "jaccard", "hd95", "assd")  # what all of these tools compute


def convention(name: str) -> MetricSettings:
    """Return the definitions of a convention by name.

    Raises:
        HinterlandError: there is no such convention.
    """
    if name not in CONVENTIONS:
        raise HinterlandError(
            f"there is no convention {name!r}; choose one of {', '.join(CONVENTIONS)}, or all."
        )
    return CONVENTIONS[name]


def evaluate_conventions(
    predictions: Path | str,
    references: Path | str | Sequence[Case],
    conventions: Sequence[str] = tuple(CONVENTIONS),
    **options: Any,
) -> pd.DataFrame:
    """Return the tables of `evaluate_folders` under several conventions, one below the other.

    Args:
        predictions: the folder of predictions.
        references: the folder of references, or the cases.
        conventions: names; they stand in the column `convention`.
        options: those of `evaluate_folders` but `settings`.

    Returns:
        The table, with the additional column `convention`.
    """
    parts = [
        evaluate_folders(predictions, references, settings=convention(name), **options).assign(
            convention=name
        )
        for name in conventions
    ]
    return pd.concat(parts, ignore_index=True)


def side_by_side(table: pd.DataFrame, metrics: Sequence[str] = SHARED) -> pd.DataFrame:
    """Tabulate how far the same predictions move between conventions.

    One row per coarsening, class and metric (and the mean over classes): the mean under each
    convention, `cases NAME` it rests on, and `spread`, the largest minus the smallest mean
    (infinite where one convention charges infinity).
    """
    parts: dict[str, pd.DataFrame] = {}
    for name, part in table.groupby("convention", sort=False):
        summary = summarise(part, metrics).set_index(["coarsening", "class", "metric"])
        parts[str(name)] = summary[["mean", "cases"]]
    means = pd.DataFrame({name: p["mean"] for name, p in parts.items()})
    values = means.to_numpy(float)
    with np.errstate(invalid="ignore"):
        spread = np.fmax.reduce(values, axis=1) - np.fmin.reduce(values, axis=1)
    counts = pd.DataFrame({f"cases {name}": p["cases"] for name, p in parts.items()})
    order = next(iter(parts.values())).index
    return pd.concat([means.assign(spread=spread), counts], axis=1).loc[order].reset_index()
