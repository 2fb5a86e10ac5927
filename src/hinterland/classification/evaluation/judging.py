"""Tabulate how good a classifier's scores are: metrics, subgroups, recall by size and place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hinterland.classification.dataset.answers import holds
from hinterland.classification.dataset.cases import Units
from hinterland.classification.dataset.task import Task
from hinterland.classification.evaluation.regions import Regions
from hinterland.classification.fitting.calibration import brier, calibration_error
from hinterland.classification.fitting.operating_point import OperatingPoint
from hinterland.classification.scores.metrics import ImageScores, image_level_table
from hinterland.classification.scores.resampling import (
    resample_weights,
    weighted_auroc,
    weighted_brier,
    weighted_calibration_error,
    weighted_share,
)
from hinterland.classification.scores.subgroups import (
    against_correlation,
    auroc_interval,
    known_mean,
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

    names: of the units; scores, probabilities (units, classes); truth (units, classes): 1, 0, or
    NaN where that is not known; called (units, classes): what was decided. patients: of each unit,
    for the bootstrap. tests: class index -> its scores against the rest, of known units.
    """

    task: Task
    point: OperatingPoint
    units: Units
    names: tuple[str, ...]
    scores: np.ndarray
    probabilities: np.ndarray
    truth: np.ndarray
    called: np.ndarray
    patients: tuple[str, ...]
    tests: Mapping[int, ImageScores]
    regions: Regions
    seed: int = 0

    def known(self, index: int) -> np.ndarray:
        """Find the positions of the units whose answer for a class is known."""
        return np.flatnonzero(np.isfinite(self.truth[:, index]))


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
    rows = [[holds(units.targets[u], i) for i in range(len(task.classes))] for u in names]
    truth = np.array(rows, float)
    tests = {}
    for i in task.scored:
        at = np.flatnonzero(np.isfinite(truth[:, i]))
        if len(at):
            own = [names[k] for k in at]
            tests[i] = ImageScores(
                tuple(own), stacked[at, i], truth[at, i].astype(int), regions.located(i, units, own)
            )
    patients = tuple(groups.get(units.members[u][0]) or u for u in names)
    return Judged(
        task, point, units, tuple(names), stacked, probabilities, truth, point.called(stacked),
        patients, tests, regions, seed,
    )  # fmt: skip


def metric_table(
    judged: Judged, marks: Mapping[str, int] | None, parts: Mapping[str, str] | None
) -> pd.DataFrame:
    """Tabulate the metrics of every judged class, with intervals; columns `ORDER`.

    Several classes have a row "mean" for AUROC and for recall, the share of each class that is
    decided rightly, averaged (macro recall); findings for AUROC and for balanced accuracy.

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
            at = np.flatnonzero([(parts or {}).get(u) == value for u in test.cases])
            if not len(at):
                continue
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


def confusion(judged: Judged) -> Mapping[str, tuple[Sequence[str], np.ndarray]]:
    """Count units by what they are (rows) and what was decided (columns).

    Returns:
        Title -> (names of the rows and columns, counts): one table over classes that exclude each
        other, or one of no and yes for each finding.
    """
    if not judged.task.independent:
        size = len(judged.task.classes)
        found = np.zeros((size, size), int)
        np.add.at(found, (judged.truth.argmax(axis=1), judged.called.argmax(axis=1)), 1)
        return {"": (judged.task.classes, found)}
    tables = {}
    for index, test in judged.tests.items():
        found = np.zeros((2, 2), int)
        np.add.at(found, (test.labels, judged.called[judged.known(index), index].astype(int)), 1)
        tables[judged.task.classes[index]] = (("no", "yes"), found)
    return tables


def _level(judged: Judged, test: ImageScores, index: int) -> pd.DataFrame:
    return image_level_table(
        test, judged.point.thresholds[index], groups=_patients(judged, test), resamples=RESAMPLES,
        seed=judged.seed,
    )  # fmt: skip


def _calibration(judged: Judged, index: int) -> pd.DataFrame:
    """Tabulate Brier score and calibration error with intervals."""
    test = judged.tests[index]
    p, labels = judged.probabilities[judged.known(index), index], test.labels
    weights, count = resample_weights(test.cases, _patients(judged, test), RESAMPLES, judged.seed)
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
    """Return the mean AUROC and macro recall over several classes.

    Of findings the mean AUROC and the mean balanced accuracy; units that a finding does not know
    count for the others.
    """
    weights, count = resample_weights(judged.names, judged.patients, RESAMPLES, judged.seed)
    whole = np.ones((1, len(judged.names)))
    rates = ("recall", _macro_recall)
    if judged.task.independent:
        rates = ("balanced_accuracy", _mean_balanced)
    rows = []
    for metric, compute in (("auroc", _mean_auroc), rates):
        low, high = percentile_interval(compute(judged, weights)[:, None], count, expanded=False)
        row = {"metric": metric, "value": float(compute(judged, whole)[0])}
        rows.append(row | {"low": float(low[0]), "high": float(high[0])})
    return pd.DataFrame(rows).assign(subgroup="all", cases=len(judged.names), **{"class": "mean"})


def _mean_auroc(judged: Judged, weights: np.ndarray) -> np.ndarray:
    """Return the mean AUROC of the classes for each row of weights (samples, units)."""
    areas = [
        weighted_auroc(test.labels, test.scores, weights[:, judged.known(index)])
        for index, test in judged.tests.items()
    ]
    return known_mean(np.stack(areas))


def _macro_recall(judged: Judged, weights: np.ndarray) -> np.ndarray:
    classes = [i for i in range(len(judged.task.classes)) if (judged.truth[:, i] == 1).any()]
    shares = [weighted_share(judged.called[:, i], judged.truth[:, i] == 1, weights)
              for i in classes]  # fmt: skip
    return known_mean(np.stack(shares))


def _mean_balanced(judged: Judged, weights: np.ndarray) -> np.ndarray:
    found = []
    for index in judged.tests:
        called, truth = judged.called[:, index], judged.truth[:, index]
        recall = weighted_share(called, truth == 1, weights)
        found.append((recall + weighted_share(~called, truth == 0, weights)) / 2)
    return known_mean(np.stack(found))


def _patients(judged: Judged, test: ImageScores) -> list[str]:
    of = dict(zip(judged.names, judged.patients, strict=True))
    return [of[c] for c in test.cases]
