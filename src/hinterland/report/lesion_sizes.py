"""Which lesions are found, by their volume: small ones are what overlap metrics do not see."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hinterland.evaluation.folders import GroupMasks, Row, iterate_masks
from hinterland.evaluation.metrics.lesions import VOLUME_BINS_ML, match_lesions
from hinterland.labels import LabelSpec
from hinterland.types import Case


def lesion_table(
    predictions: Path | str, references: Path | str | Sequence[Case], **options: Any
) -> pd.DataFrame:
    """List the reference lesions, with their size and whether they were found.

    Args:
        predictions: the folder of predictions.
        references: the folder of references, or the cases.
        options: `spec`, `at`, `cases` and `threads`, as in `evaluate_folders`.

    Returns:
        The columns case, class, coarsening, `volume` (mL, or voxels / 1000 without a physical
        spacing), `found`, and `dice` with its partner (NaN where it is missed).
    """

    def rows(masks: GroupMasks, _: LabelSpec) -> list[Row]:
        match = match_lesions(masks.prediction, masks.reference, masks.spacing)
        return [
            {"volume": float(v), "found": bool(f), "dice": float(d)}
            for v, f, d in zip(match.reference, match.found, match.dice, strict=True)
        ]

    columns = ["case", "class", "coarsening", "volume", "found", "dice"]
    return pd.DataFrame(iterate_masks(rows, predictions, references, **options), columns=columns)


def sensitivity_by_volume(
    lesions: pd.DataFrame, bins: Sequence[float] = VOLUME_BINS_ML
) -> pd.DataFrame:
    """Compute the sensitivity to reference lesions by volume, over all cases of a `lesion_table`.

    bins: edges in mL; a lesion of volume v falls into [lower, upper). One row per coarsening, class
    and bin: `lower_ml`, `upper_ml`, `lesions`, `found`, `sensitivity` (NaN for an empty bin).
    """
    intervals = pd.cut(lesions["volume"], list(bins), right=False)
    keys = ["coarsening", "class"]
    rows = []
    for key, part in lesions.groupby(keys, sort=False):
        counts = part.groupby(intervals[part.index], observed=False)["found"].agg(["size", "sum"])
        for interval, (size, found) in zip(counts.index, counts.to_numpy(int), strict=True):
            rows.append(
                dict(zip(keys, key, strict=True))
                | {"lower_ml": interval.left, "upper_ml": interval.right, "lesions": int(size)}
                | {"found": int(found), "sensitivity": found / size if size else float("nan")}
            )
    return pd.DataFrame(rows)
