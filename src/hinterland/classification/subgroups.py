"""Image-level figures where they matter: who breaks a spurious correlation, which lesions are
missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan

import numpy as np
import pandas as pd

from hinterland.classification.metrics import ImageScores, YoudenThreshold, auroc
from hinterland.evaluation.statistics.bootstrap import RESAMPLES, bootstrap_ci, percentile_interval
from hinterland.types import HinterlandError


def taken(scores: ImageScores, index: np.ndarray) -> ImageScores:
    """The cases at these positions."""
    return ImageScores(
        tuple(scores.cases[i] for i in index), scores.scores[index], scores.labels[index],
        None if scores.located is None else scores.located[index],
    )  # fmt: skip


def against_correlation(test: ImageScores, mark: Mapping[str, int]) -> ImageScores:
    """The cases that break a spurious correlation: positives without the mark, negatives with it.

    mark: case -> 0 or 1. Their AUROC is the *robust* AUROC. HinterlandError where a case has no
    mark of 0 or 1, or nobody breaks the correlation in both directions.
    """
    missing = [c for c in test.cases if mark.get(c) not in (0, 1)]
    if missing:
        raise HinterlandError(
            f"{len(missing)} cases have no mark of 0 or 1 ({', '.join(missing[:3])}); give one for "
            "each evaluated case."
        )
    marks = np.array([mark[c] for c in test.cases])
    index = np.flatnonzero(marks != test.labels)
    found = set(test.labels[index].tolist())
    if found != {0, 1}:
        raise HinterlandError(
            f"robust AUROC needs positives without the mark and negatives with it; of {len(marks)} "
            f"cases {int(((marks == 0) & (test.labels == 1)).sum())} and "
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
    """AUROC (mean over classes that have both labels) with its 95 % bootstrap interval.

    test: one per class, over the same cases in the same order. Cases (patients, where `groups` are
    given) are resampled.
    """  # fmt: skip
    scores = np.stack([t.scores for t in test])
    labels = np.stack([t.labels for t in test])
    names, index = np.unique(
        np.asarray(test[0].cases if groups is None else groups), return_inverse=True
    )
    members = [np.flatnonzero(index == g) for g in range(len(names))]
    rng = np.random.default_rng(seed)

    def mean(at: np.ndarray) -> float:
        values = [auroc(y[at], s[at]) for y, s in zip(labels, scores, strict=True)]
        known = [v for v in values if np.isfinite(v)]
        return float(np.mean(known)) if known else nan

    draws = np.array(
        [
            mean(np.concatenate([members[g] for g in rng.integers(0, len(names), len(names))]))
            for _ in range(min(resamples, RESAMPLES))
        ]
    )
    low, high = percentile_interval(draws[:, None], len(names), expanded=False)
    return mean(np.arange(len(test[0].cases))), float(low[0]), float(high[0])


def recall_by(
    test: ImageScores,
    threshold: YoudenThreshold,
    subgroup: Mapping[str, str],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Recall among the positives of each subgroup: subgroup, recall, low, high, positives.

    With `located`, strict_recall too. Subgroups come sorted; positives without one are left out.
    HinterlandError where a case took part in fitting the threshold.
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
            row["strict_recall"] = float((called[at] & test.located[at].astype(bool)).mean())
        rows.append(row | {"positives": len(at)})
    return pd.DataFrame(rows)


def place_of(mask: np.ndarray) -> str:
    """Where a boolean mask (z, y, x) has its centre, by halves of the image: "upper left", and in
    a stack of slices "upper left, first slices"; empty text for an empty mask.

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
    """Case -> "1 small", "2 medium" or "3 large" with its range, by thirds of the sizes above
    zero."""
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
