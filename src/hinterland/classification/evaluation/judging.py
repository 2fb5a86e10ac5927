"""Tabulate how good a classifier's scores are: metrics, subgroups, recall by size and place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hinterland.classification.dataset.cases import Units
from hinterland.classification.dataset.task import Task
from hinterland.classification.evaluation.regions import Regions
from hinterland.classification.fitting.calibration import brier, calibration_error
from hinterland.classification.fitting.operating_point import OperatingPoint
from hinterland.classification.predict import decide
from hinterland.classification.scores.metrics import ImageScores, image_level_table
from hinterland.classification.scores.resampling import (
    resample_weights,
    weighted_brier,
    weighted_calibration_error,
    weighted_share,
)
from hinterland.classification.scores.subgroups import (
    against_correlation,
    auroc_interval,
    recall_by,
    size_groups,
    taken,
)
from hinterland.evaluation.statistics.bootstrap import percentile_interval

RESAMPLES = 1000
ORDER = ("class", "subgroup", "metric", "value", "low", "high", "cases", "positives")


@dataclass(frozen=True)
class Judged:
    """The scores of what is judged, and all that is asked of them.

    names: of the units; scores, probabilities (units, classes); targets, decisions (units,): class
    indices. patients: of each unit, for the bootstrap. tests: class index -> its scores against
    the rest.
    """

    task: Task
    point: OperatingPoint
    units: Units
    names: tuple[str, ...]
    scores: np.ndarray
    probabilities: np.ndarray
    targets: np.ndarray
    decisions: np.ndarray
    patients: tuple[str, ...]
    tests: Mapping[int, ImageScores]
    regions: Regions
    seed: int = 0


def judge(
    task: Task,
    point: OperatingPoint,
    units: Units,
    scores: Mapping[str, np.ndarray],
    groups: Mapping[str, str],
    regions: Regions,
    seed: int = 0,
) -> Judged:
    """Gather scores with what is known of the units.

    Args:
        task: the question.
        point: calibration and thresholds.
        units: what is judged.
        scores: unit -> (classes,).
        groups: case -> patient.
        regions: where the masks of positive cases lie.
        seed: of the bootstrap.

    Returns:
        Everything from which metrics are computed.
    """
    names = sorted(units.members)
    stacked = np.stack([scores[u] for u in names])
    probabilities = point.probabilities(stacked)
    targets = np.array([units.targets[u] for u in names])
    tests = {
        i: ImageScores(
            tuple(names), stacked[:, i], (targets == i).astype(int),
            regions.located(i, units, names),
        )
        for i in task.scored
    }  # fmt: skip
    decisions = [decide(s, p, point) for s, p in zip(stacked, probabilities, strict=True)]
    patients = tuple(groups.get(units.members[u][0]) or u for u in names)
    return Judged(
        task, point, units, tuple(names), stacked, probabilities, targets, np.array(decisions),
        patients, tests, regions, seed,
    )  # fmt: skip


def metric_table(
    judged: Judged, marks: Mapping[str, int] | None, parts: Mapping[str, str] | None
) -> pd.DataFrame:
    """Tabulate the metrics of every judged class, with intervals; columns `ORDER`.

    Several classes have a row "mean" for AUROC and for recall, the share of each class that is
    decided
    rightly, averaged (macro recall).

    Args:
        judged: the scores of what is judged.
        marks: unit -> 0 or 1, the spurious mark.
        parts: unit -> subgroup.

    Returns:
        The table.
    """
    tables = []
    for index, test in judged.tests.items():
        threshold, name = judged.point.thresholds[index], judged.task.classes[index]
        found = [_level(judged, test, index).assign(subgroup="all"), _calibration(judged, index)]
        if marks is not None:
            found.append(_auroc(judged, against_correlation(test, marks), "robust"))
        for value in sorted(set((parts or {}).values())):
            at = np.array([i for i, u in enumerate(judged.names) if (parts or {}).get(u) == value])
            own = taken(test, at)
            found.append(
                image_level_table(
                    own, threshold, groups=_patients(judged, own), resamples=RESAMPLES,
                    seed=judged.seed,
                ).assign(subgroup=value)
            )  # fmt: skip
        tables += [t.assign(**{"class": name}) for t in found]
    if len(judged.tests) > 1:
        tables.append(_means(judged))
    return pd.concat(tables, ignore_index=True).reindex(columns=list(ORDER))


def recall_table(judged: Judged) -> pd.DataFrame:
    """Tabulate recall by size (thirds) and place of the lesion, for every judged class."""
    unit = "mL" if judged.regions.physical else "voxels"
    found = []
    for index, test in judged.tests.items():
        sizes = judged.regions.sizes(index, judged.units)
        for kind, of_unit in (
            ("size", size_groups(sizes, unit)),
            ("place", judged.regions.places(index, judged.units)),
        ):
            by = recall_by(
                test, judged.point.thresholds[index], of_unit, resamples=RESAMPLES,
                seed=judged.seed,
            )  # fmt: skip
            if len(by):
                found.append(by.assign(by=kind, **{"class": judged.task.classes[index]}))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def confusion(judged: Judged) -> np.ndarray:
    """Count units by true class (rows) and decided class (columns), (classes, classes)."""
    size = len(judged.task.classes)
    found = np.zeros((size, size), int)
    np.add.at(found, (judged.targets, judged.decisions), 1)
    return found


def _level(judged: Judged, test: ImageScores, index: int) -> pd.DataFrame:
    return image_level_table(
        test, judged.point.thresholds[index], groups=judged.patients, resamples=RESAMPLES,
        seed=judged.seed,
    )  # fmt: skip


def _calibration(judged: Judged, index: int) -> pd.DataFrame:
    """Tabulate Brier score and calibration error with intervals."""
    p, labels = judged.probabilities[:, index], judged.tests[index].labels
    weights, count = resample_weights(judged.names, judged.patients, RESAMPLES, judged.seed)
    draws = np.stack(
        [weighted_brier(labels, p, weights), weighted_calibration_error(labels, p, weights)], axis=1
    )
    low, high = percentile_interval(draws, count, expanded=False)
    return pd.DataFrame(
        {
            "metric": ["brier", "calibration_error"],
            "value": [brier(p, labels), calibration_error(p, labels)],
            "low": low,
            "high": high,
            "subgroup": "all",
            "cases": len(labels),
            "positives": int(labels.sum()),
        }
    )


def _auroc(judged: Judged, test: ImageScores, subgroup: str) -> pd.DataFrame:
    value, low, high = auroc_interval(
        [test], groups=_patients(judged, test), resamples=RESAMPLES, seed=judged.seed
    )
    row: dict[str, object] = {"subgroup": subgroup, "metric": "auroc", "value": value}
    row |= {"low": low, "high": high}
    row |= {"cases": len(test.cases), "positives": int(test.labels.sum())}
    return pd.DataFrame([row])


def _means(judged: Judged) -> pd.DataFrame:
    """Return the mean AUROC and macro recall over several classes."""
    area = auroc_interval(
        list(judged.tests.values()), groups=judged.patients, resamples=RESAMPLES, seed=judged.seed
    )
    weights, count = resample_weights(judged.names, judged.patients, RESAMPLES, judged.seed)
    right = judged.decisions == judged.targets
    present = [i for i in range(len(judged.task.classes)) if (judged.targets == i).any()]
    shares = [weighted_share(right, judged.targets == i, weights) for i in present]
    known = np.isfinite(shares)
    draws = np.where(known, shares, 0.0).sum(axis=0) / known.sum(axis=0)
    low, high = percentile_interval(draws[:, None], count, expanded=False)
    macro = float(np.mean([right[judged.targets == i].mean() for i in present]))
    rows = [
        {"metric": "auroc", "value": area[0], "low": area[1], "high": area[2]},
        {"metric": "recall", "value": macro, "low": float(low[0]), "high": float(high[0])},
    ]
    return pd.DataFrame(rows).assign(subgroup="all", cases=len(judged.names), **{"class": "mean"})


def _patients(judged: Judged, test: ImageScores) -> list[str]:
    of = dict(zip(judged.names, judged.patients, strict=True))
    return [of[c] for c in test.cases]
