"""How good a classifier is on test cases, and where it fails."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hinterland.classification.calibration import brier, calibration_error
from hinterland.classification.cases import Units, units_of, with_image_labels
from hinterland.classification.metrics import ImageScores, image_level_table
from hinterland.classification.operating_point import OperatingPoint, averaged
from hinterland.classification.predict import load_model, predict_images
from hinterland.classification.record import ClassifierRecord, ClassifierRun
from hinterland.classification.subgroups import (
    against_correlation,
    auroc_interval,
    place_of,
    recall_by,
    size_groups,
    taken,
)
from hinterland.data.dataset.image_labels import read_image_labels
from hinterland.data.dataset.read import read_dataset
from hinterland.data.io.files import write_text
from hinterland.data.io.volume import read_header, read_label
from hinterland.evaluation.metrics.lesions import match_lesions
from hinterland.evaluation.metrics.overlap import millilitres
from hinterland.types import Case, Dataset, HinterlandError

RESAMPLES = 1000


@dataclass
class _Regions:
    """Reference masks of the judged classes: how large, where, and whether they were found."""

    record: ClassifierRecord
    physical: bool
    size: dict[int, dict[str, float]] = field(default_factory=dict)
    place: dict[int, dict[str, str]] = field(default_factory=dict)
    found: dict[int, dict[str, bool]] = field(default_factory=dict)

    def look(self, case: Case, masks: Mapping[int, np.ndarray]) -> None:
        """Compare the masks of one case with its label file."""
        if case.label is None:
            return
        label = read_label(case.label).array[0]
        spacing = read_header(case.label).spacing if self.physical else (1.0, 1.0, 1.0)
        for index in self.record.task.scored:
            if self.record.targets[case.name] != index:
                continue
            reference = self._reference(case, label, index)
            voxels = int(np.count_nonzero(reference))
            volume = voxels * millilitres(spacing) if self.physical else float(voxels)
            self.size.setdefault(index, {})[case.name] = volume
            self.place.setdefault(index, {})[case.name] = place_of(reference)
            if index in masks:
                match = match_lesions(masks[index], reference, spacing)
                self.found.setdefault(index, {})[case.name] = bool(match.found.any())

    def _reference(self, case: Case, label: np.ndarray, index: int) -> np.ndarray:
        """Voxels of the class's node; of the target's foreground where it has no node."""
        spec, node = self.record.spec, self.record.task.nodes[index]
        target = spec.target
        wanted = (
            frozenset().union(*(target.groups[i] for i in target.foreground))
            if node is None else spec.tree.leaves_under(node)
        )  # fmt: skip
        meaning = spec.scheme(case.scheme).label_values
        return np.isin(label, [v for v, leaves in meaning.items() if leaves <= wanted])


def evaluate_classifier(
    run: ClassifierRun,
    out: Path,
    *,
    spurious: str | None = None,
    subgroup: str | None = None,
    table: Path | None = None,
    seed: int = 0,
    overwrite: bool = False,
    tick: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Judge a classifier on the test cases of its split; returns what summary.json holds.

    spurious: a column with 0 or 1 per case (or patient): the mark that a classifier may have
    learnt. The *robust* AUROC is that of positives without it and negatives with it.
    subgroup: a column whose values are judged apart. Columns are those of the image labels, or of
    the CSV file `table` (first column: case or patient).

    Writes predictions.csv, masks/, metrics.csv (class, subgroup, metric, value and its 95 %
    interval by 1000 bootstraps over patients), recall.csv (recall by size and place of the lesion)
    and summary.json into `out`. HinterlandError if it is there and not `overwrite`, there is no
    test case, or a column is missing.
    """
    record = run.record
    _, point = load_model(run)
    if (out / "summary.json").exists() and not overwrite:
        raise HinterlandError(f"{out} holds an evaluation. Give --overwrite, or another --out.")
    dataset = dataset_of(record)
    names = record.split["test"]
    if not names:
        raise HinterlandError(
            f"{run.path} has no test cases: its data set has no test split. List one in "
            "splits.json; the validation cases chose the thresholds and cannot judge them."
        )
    cases = [dataset[n] for n in names]
    marks = _column(dataset, cases, table, spurious)
    parts = _column(dataset, cases, table, subgroup)
    regions = _Regions(record, dataset.spacing_known)
    predicted = predict_images(
        run, cases, out / "masks", overwrite=True, inspect=regions.look, tick=tick
    )
    groups = {c.name: c.group for c in cases}
    units = units_of(record.task, names, record.targets, groups)
    columns = [f"score: {c}" for c in record.task.classes]
    by_case = dict(zip(predicted["case"], predicted[columns].to_numpy(), strict=True))
    scores = averaged(by_case, units)
    metrics, recalls = _judge(
        record, point, units, scores, regions, groups, marks, parts, dataset.spacing_known, seed
    )
    summary = {
        "task": record.task.text,
        "by": record.by,
        "source": record.source,
        "layer": record.layer,
        "unit": units.name,
        "cases": len(names),
        "units": len(units.members),
        "fitted_on": "val",
        "rules": {record.task.classes[i]: list(r) for i, r in point.rules.items()},
        "metrics": metrics.to_dict("records"),
        "recall": recalls.to_dict("records"),
    }
    predicted["label"] = [record.task.classes[record.targets[n]] for n in predicted["case"]]
    write_text(out / "predictions.csv", predicted.to_csv(index=False))
    write_text(out / "metrics.csv", metrics.to_csv(index=False))
    write_text(out / "recall.csv", recalls.to_csv(index=False))
    write_text(out / "summary.json", json.dumps(summary, indent=1, default=float) + "\n")
    return summary


def dataset_of(record: ClassifierRecord) -> Dataset:
    """Read the data set of a classifier again, with its image labels and schemes."""
    root = Path(record.dataset["path"])
    if not root.is_dir():
        raise HinterlandError(f"the data set of this classifier is no longer at {root}.")
    dataset = read_dataset(root, record.spec)
    file = record.dataset["image_labels"]
    return with_image_labels(dataset, Path(file) if file else None)


def _column(
    dataset: Dataset, cases: list[Case], table: Path | None, column: str | None
) -> dict[str, str] | None:
    """Case -> value of a column, where it has one."""
    if column is None:
        return None
    rows = read_image_labels(table, dataset.labels.tree) if table else {}
    found = {}
    for case in cases:
        own = (
            {**rows.get(case.group, {}), **rows.get(case.name, {})} if table else case.image_labels
        )
        if column in own:
            found[case.name] = str(own[column])
    if not found:
        raise HinterlandError(
            f"no test case has a value in the column {column!r} of "
            f"{table or 'the image labels'}. Check its name, or give a file with --table."
        )
    return found


def _judge(
    record: ClassifierRecord,
    point: OperatingPoint,
    units: Units,
    scores: Mapping[str, np.ndarray],
    regions: _Regions,
    groups: Mapping[str, str],
    marks: Mapping[str, str] | None,
    parts: Mapping[str, str] | None,
    physical: bool,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Metrics and recalls of every judged class."""  # fmt: skip
    names = sorted(units.members)
    first = {u: units.members[u][0] for u in names}
    patients = [groups.get(first[u]) or u for u in names]
    stacked = np.stack([scores[u] for u in names])
    probabilities = point.probabilities(stacked)
    tables, recalls, each = [], [], []
    for index in record.task.scored:
        labels = np.array([int(units.targets[u] == index) for u in names])
        located = _located(regions.found.get(index), units, names, labels)
        test = ImageScores(tuple(names), stacked[:, index], labels, located)
        each.append(test)
        threshold, name = point.thresholds[index], record.task.classes[index]
        found = [image_level_table(test, threshold, groups=patients, resamples=RESAMPLES, seed=seed)
                 .assign(subgroup="all")]  # fmt: skip
        found.append(_calibration(probabilities[:, index], labels))
        if marks is not None:
            robust = against_correlation(test, _marks(marks, first))
            found.append(_auroc(robust, "robust", patients_of(robust, names, patients), seed))
        for value in sorted(set((parts or {}).values())):
            at = np.array([i for i, u in enumerate(names) if (parts or {}).get(first[u]) == value])
            own = taken(test, at)
            found.append(
                image_level_table(
                    own, threshold, groups=patients_of(own, names, patients), resamples=RESAMPLES,
                    seed=seed,
                ).assign(subgroup=value)
            )  # fmt: skip
        tables += [t.assign(**{"class": name}) for t in found]
        unit = "mL" if physical else "voxels"
        for kind, of_case in (
            ("size", size_groups(regions.size.get(index, {}), unit)),
            ("place", {c: p for c, p in regions.place.get(index, {}).items() if p}),
        ):
            of_unit = {u: of_case[first[u]] for u in names if first[u] in of_case}
            by = recall_by(test, threshold, of_unit, resamples=RESAMPLES, seed=seed)
            if len(by):
                recalls.append(by.assign(by=kind, **{"class": name}))
    if len(each) > 1:
        area, low, high = auroc_interval(each, groups=patients, resamples=RESAMPLES, seed=seed)
        mean: dict[str, object] = {"metric": "auroc", "subgroup": "all", "class": "mean"}
        mean |= {"value": area, "low": low, "high": high, "cases": len(names)}
        tables.append(pd.DataFrame([mean]))
    order = ["class", "subgroup", "metric", "value", "low", "high", "cases", "positives"]
    metrics = pd.concat(tables, ignore_index=True).reindex(columns=order)
    return metrics, pd.concat(recalls, ignore_index=True) if recalls else pd.DataFrame()


def _located(
    found: Mapping[str, bool] | None, units: Units, names: list[str], labels: np.ndarray
) -> np.ndarray | None:
    """Say whether each unit's region was found, in any of its cases.

    None where that is not known of some positive.
    """
    if found is None:
        return None
    members = [[n for n in units.members[u] if n in found] for u in names]
    if any(y and not m for y, m in zip(labels, members, strict=True)):
        return None
    return np.array([any(found[n] for n in m) for m in members])


def _calibration(probabilities: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    rows = [
        {"metric": "brier", "value": brier(probabilities, labels)},
        {"metric": "calibration_error", "value": calibration_error(probabilities, labels)},
    ]
    sizes = {"cases": len(labels), "positives": int(labels.sum())}
    return pd.DataFrame(rows).assign(subgroup="all", **sizes)


def _auroc(test: ImageScores, subgroup: str, groups: list[str], seed: int) -> pd.DataFrame:
    value, low, high = auroc_interval([test], groups=groups, resamples=RESAMPLES, seed=seed)
    row: dict[str, object] = {"subgroup": subgroup, "metric": "auroc", "value": value}
    row |= {"low": low, "high": high}
    row |= {"cases": len(test.cases), "positives": int(test.labels.sum())}
    return pd.DataFrame([row])


def _marks(marks: Mapping[str, str], first: Mapping[str, str]) -> dict[str, int]:
    texts = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}
    return {u: texts.get(marks.get(c, ""), -1) for u, c in first.items()}


def patients_of(test: ImageScores, names: list[str], patients: list[str]) -> list[str]:
    """Look up the patients of some of the units."""
    of = dict(zip(names, patients, strict=True))
    return [of[c] for c in test.cases]
