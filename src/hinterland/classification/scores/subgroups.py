"""Judge image labels where it matters: against a spurious correlation, by size and by place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan

import numpy as np
import pandas as pd

from hinterland.classification.scores.metrics import (
    ImageScores,
    YoudenThreshold,
    auroc,
    located_known,
)
from hinterland.classification.scores.resampling import resample_weights, weighted_auroc
from hinterland.evaluation.statistics.bootstrap import bootstrap_ci, percentile_interval
from hinterland.types import HinterlandError


def taken(scores: ImageScores, index: np.ndarray) -> ImageScores:
    """Take the cases at these positions."""
    return ImageScores(
        tuple(scores.cases[i] for i in index), scores.scores[index], scores.labels[index],
        None if scores.located is None else scores.located[index],
    )  # fmt: skip


def against_correlation(test: ImageScores, mark: Mapping[str, int]) -> ImageScores:
    """Take the cases that break a spurious correlation.

    Those are positives without the mark and negatives with it; their AUROC is the *robust* AUROC.
    Cases whose mark is not known (no 0 or 1) are left out.

    Args:
        test: scores and labels of the cases.
        mark: case -> 0 or 1.

    Raises:
        HinterlandError: nobody breaks the correlation in both directions.
    """
    marks = np.array([mark.get(c, -1) for c in test.cases])
    known = np.isin(marks, (0, 1))
    index = np.flatnonzero(known & (marks != test.labels))
    found = set(test.labels[index].tolist())
    if found != {0, 1}:
        raise HinterlandError(
            f"robust AUROC needs positives without the mark and negatives with it; of "
            f"{int(known.sum())} cases with a mark of 0 or 1 "
            f"{int(((marks == 0) & (test.labels == 1)).sum())} and "
            f"{int(((marks == 1) & (test.labels == 0)).sum())} are so."
        )
    return taken(test, index)


def auroc_interval(
    test: Sequence[ImageScores],
    *,
    groups: Sequence[str] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Compute AUROC (mean over classes that have both labels) with its 95 % bootstrap interval.

    Args:
        test: one per class, over the same cases in the same order.
        groups: the patient of each case, which is resampled; default, every case is its own.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The area and both limits.
    """  # fmt: skip
    weights, count = resample_weights(test[0].cases, groups, resamples, seed)
    areas = np.stack([weighted_auroc(t.labels, t.scores, weights) for t in test])
    low, high = percentile_interval(known_mean(areas)[:, None], count, expanded=False)
    value = known_mean(np.array([[auroc(t.labels, t.scores)] for t in test]))[0]
    return float(value), float(low[0]), float(high[0])


def known_mean(values: np.ndarray) -> np.ndarray:
    """Return the mean of the finite values of each column (classes, samples); NaN without any."""
    finite = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(finite, values, 0.0).sum(axis=0) / finite.sum(axis=0)


def recall_by(
    test: ImageScores,
    threshold: YoudenThreshold,
    subgroup: Mapping[str, str],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Tabulate recall among the positives of each subgroup: subgroup, recall, low, high, positives.

    With `located`, strict_recall too. Subgroups come sorted; positives without one are left out.

    Args:
        test: scores and labels of the test cases.
        threshold: fitted on validation cases.
        subgroup: case -> subgroup.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The table.

    Raises:
        HinterlandError: a case took part in fitting the threshold.
    """
    shared = set(test.cases) & threshold.cases
    if shared:
        raise HinterlandError(
            f"{len(shared)} test cases were used to fit the threshold; fit it on validation cases."
        )
    called = test.scores >= threshold.value
    rows = []
    for name in sorted({g for c, g in subgroup.items() if c in set(test.cases)}):
        at = [
            i for i, c in enumerate(test.cases)
            if subgroup.get(c) == name and test.labels[i] == 1
        ]  # fmt: skip
        if not at:
            continue
        hits = called[at].astype(float)
        interval = bootstrap_ci(hits, resamples=resamples, seed=seed, expanded=False)
        row: dict[str, object] = {"subgroup": name, "recall": interval.mean}
        row |= {"low": interval.low, "high": interval.high}
        if test.located is not None:
            right, known = (part[at] for part in located_known(test.located))
            row["strict_recall"] = float((called[at] & right)[known].mean()) if known.any() else nan
        rows.append(row | {"positives": len(at)})
    return pd.DataFrame(rows)


def place_of(mask: np.ndarray) -> str:
    """Say where a boolean mask (z, y, x) has its centre, by halves of the image.

    "upper left", and in a stack of slices "upper left, first slices"; "" for an empty mask.

    Upper and left are those of the array: small y and small x.
    """
    voxels = np.argwhere(mask)
    if not len(voxels):
        return ""
    z, y, x = (voxels.mean(axis=0) + 0.5) / mask.shape
    place = f"{'upper' if y < 0.5 else 'lower'} {'left' if x < 0.5 else 'right'}"
    if mask.shape[0] > 1:
        place += f", {'first' if z < 0.5 else 'last'} slices"
    return place


def size_groups(sizes: Mapping[str, float], unit: str = "mL") -> dict[str, str]:
    """Sort cases into "1 small", "2 medium" and "3 large", by thirds of the sizes above zero."""
    known = {c: s for c, s in sizes.items() if s > 0}
    if not known:
        return {}
    low, high = np.quantile(list(known.values()), (1 / 3, 2 / 3))
    names = (
        f"1 small (to {low:.3g} {unit})",
        f"2 medium (to {high:.3g} {unit})",
        f"3 large (above {high:.3g} {unit})",
    )
    return {c: names[int(s > low) + int(s > high)] for c, s in known.items()}
