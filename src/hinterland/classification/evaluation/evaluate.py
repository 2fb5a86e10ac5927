"""How good a classifier is on test cases, and where it fails."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from filecmp import cmp
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hinterland.classification.dataset.answers import Target, holds, name_of
from hinterland.classification.dataset.cases import (
    Units,
    answers_in,
    unit_of,
    units_of,
    with_image_labels,
)
from hinterland.classification.evaluation.judging import judge, metric_table, recall_table
from hinterland.classification.evaluation.regions import Regions
from hinterland.classification.evaluation.report import write_report
from hinterland.classification.fitting.operating_point import aggregated
from hinterland.classification.predict import load_model, patient_table, predict_images
from hinterland.classification.record import ClassifierRecord, ClassifierRun
from hinterland.data.dataset.image_labels import read_image_labels
from hinterland.data.dataset.read import read_dataset
from hinterland.data.io.csv_text import csv_text
from hinterland.data.io.files import write_text
from hinterland.data.io.volume import read_label
from hinterland.types import Case, Dataset, HinterlandError


def evaluate_classifier(
    run: ClassifierRun,
    out: Path,
    *,
    data: Path | None = None,
    labels: Path | None = None,
    image_labels: Path | None = None,
    spurious: str | None = None,
    subgroup: str | None = None,
    table: Path | None = None,
    seed: int = 0,
    overwrite: bool = False,
    tick: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Judge a classifier on the test cases of its split, or on another data set.

    Writes into `out`: report.html, predictions.csv (and patients.csv where patients are judged),
    masks/, metrics.csv (class, subgroup, metric, value and its 95 % interval by 1000 bootstraps
    over patients), recall.csv (recall by size and place of the lesion) and summary.json.

    Args:
        run: A finished classifier.
        out: Folder to write.
        data: Another data set (an external test); all its cases whose class is known are judged.
        labels: Its labels.yaml; default, the one in its folder, else the classifier's.
        image_labels: CSV file with its image labels; default, those that its labels.yaml names.
        spurious: A column with 0 or 1 per case (or patient): the mark that a classifier may have
            learnt. The *robust* AUROC is that of positives without it and negatives with it.
        subgroup: A column whose values are judged apart.
        table: CSV file with these columns (first column: case or patient); default, the image
            labels.
        seed: Of the bootstrap.
        overwrite: Replace an evaluation that is there.
        tick: Called with (done, total).

    Returns:
        What summary.json holds.

    Raises:
        HinterlandError: `out` holds an evaluation and not `overwrite`, there is no test case, or a
            column is missing.
    """
    record = run.record
    _, point = load_model(run)
    if (out / "summary.json").exists() and not overwrite:
        raise HinterlandError(f"{out} holds an evaluation. Give --overwrite, or another --out.")
    dataset, cases, targets = _test_cases(run, data, labels, image_labels)
    marks = _column(dataset, cases, table, spurious)
    parts = _column(dataset, cases, table, subgroup)
    regions = Regions(record, targets, dataset.spacing_known)
    predicted = predict_images(
        run, cases, out / "masks", overwrite=True, inspect=regions.compare, tick=tick
    )
    groups = {c.name: c.group for c in cases}
    names = [c.name for c in cases]
    unit = unit_of(record.task, targets, groups, "patient" if point.patients else "case")
    units = units_of(record.task, names, targets, groups, unit)
    columns = [f"score: {c}" for c in record.task.classes]
    by_case = dict(zip(predicted["case"], predicted[columns].to_numpy(float), strict=True))
    scores = aggregated(by_case, units, point.aggregate)
    used = point.of(unit) if data is None else point.of(unit).elsewhere()
    judged = judge(record.task, used, units, scores, groups, regions, seed)
    metrics = metric_table(judged, _of_units(marks, units, _mark), _of_units(parts, units, str))
    recalls = recall_table(judged)
    summary = {
        "task": record.task.text,
        "by": record.by,
        "source": record.source,
        "layer": record.layer,
        "data": str(dataset.root),
        "unit": units.name,
        "aggregate": point.aggregate,
        "cases": len(names),
        "units": len(units.members),
        "fitted_on": "val",
        "rules": {record.task.classes[i]: list(r) for i, r in point.rules.items()},
        "metrics": metrics.to_dict("records"),
        "recall": recalls.to_dict("records"),
    }
    predicted = _with_labels(predicted, "case", record, targets)
    write_text(out / "predictions.csv", csv_text(predicted))
    if point.patients:
        patients = patient_table(run, predicted)
        labelled = _with_labels(patients, "patient", record, units.targets)
        write_text(out / "patients.csv", csv_text(labelled))
    write_text(out / "metrics.csv", csv_text(metrics))
    write_text(out / "recall.csv", csv_text(recalls))
    write_text(out / "summary.json", json.dumps(summary, indent=1, default=float) + "\n")
    write_report(out, run, judged, metrics, recalls, predicted, dataset)
    return summary


def _with_labels(
    table: pd.DataFrame, key: str, record: ClassifierRecord, targets: Mapping[str, Target]
) -> pd.DataFrame:
    """Add what each row is: `label`, and of findings `label: FINDING` (1, 0, empty: unknown)."""
    rows = [targets[name] for name in table[key]]
    added: dict[str, Any] = {"label": [name_of(record.task, row) for row in rows]}
    for index, name in enumerate(record.task.classes if record.task.independent else ()):
        added[f"label: {name}"] = pd.array([holds(row, index) for row in rows], dtype="Int64")
    return table.assign(**added)


def _test_cases(
    run: ClassifierRun, data: Path | None, labels: Path | None, image_labels: Path | None
) -> tuple[Dataset, list[Case], dict[str, Target]]:
    """Find the cases to judge and their classes."""
    record = run.record
    if data is None:
        if labels or image_labels:
            raise HinterlandError(
                "--labels and --image-labels belong to --data DATASET."
                " Give --data, too, or leave them away."
            )
        dataset, names = dataset_of(record), record.split["test"]
        if not names:
            raise HinterlandError(
                f"{run.path} has no test cases: its data set has no test split. List one in "
                "splits.json, or give another data set with --data; the validation cases chose the "
                "thresholds and cannot judge them."
            )
        return dataset, [dataset[n] for n in names], {n: record.targets[n] for n in names}
    own = labels or (None if (data / "labels.yaml").is_file() else record.spec)
    dataset = with_image_labels(read_dataset(data, own), image_labels)
    if data.resolve() == Path(record.dataset["path"]):
        raise HinterlandError(f"{data} is what the classifier was made from: leave --data away.")
    values = {
        c.name: np.unique(read_label(c.label).array).tolist()
        for c in dataset.cases
        if record.task.from_masks and c.label is not None
    }
    targets = answers_in(record.task, dataset, values)
    cases = [c for c in dataset.cases if c.name in targets]
    _refuse_known(record, cases, data)
    if not cases:
        raise HinterlandError(
            f"no case of {data} has an answer to {record.task.text!r}: give its image labels with "
            "--image-labels CSV."
        )
    return dataset, cases, targets


def _refuse_known(record: ClassifierRecord, cases: list[Case], data: Path) -> None:
    """Raise HinterlandError where a case is the very file that the classifier was made from.

    Another hospital may use the same names; then the files differ.
    """
    root = Path(record.dataset["path"])
    made_from = {n for part in ("train", "val") for n in record.split[part]}
    shared = [c for c in cases if c.name in made_from]
    if not shared or not root.is_dir():
        return
    own = {c.name: c for c in dataset_of(record).cases}
    known = [
        c.name for c in shared
        if c.name in own and cmp(c.images[0], own[c.name].images[0], shallow=False)
    ]  # fmt: skip
    if known:
        raise HinterlandError(
            f"{data} holds {len(known)} training or validation cases of the classifier "
            f"({', '.join(known[:3])}): they cannot judge it. Give data it has not seen."
        )


def dataset_of(record: ClassifierRecord) -> Dataset:
    """Read the data set of a classifier again, with its image labels and schemes.

    Raises:
        HinterlandError: the data set is no longer there.
    """
    root = Path(record.dataset["path"])
    if not root.is_dir():
        raise HinterlandError(f"the data set of this classifier is no longer at {root}.")
    dataset = read_dataset(root, record.spec)
    file = record.dataset["image_labels"]
    return with_image_labels(dataset, Path(file) if file else None)


def _column(
    dataset: Dataset, cases: list[Case], table: Path | None, column: str | None
) -> dict[str, str] | None:
    """Return case -> value of a column, where it has one."""
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


def _mark(text: str) -> int:
    return {"0": 0, "1": 1, "0.0": 0, "1.0": 1}.get(text, -1)


def _of_units(
    values: Mapping[str, str] | None, units: Units, read: Callable[[str], Any]
) -> dict[str, Any] | None:
    """Take the value of a unit from the first of its cases that has one."""
    if values is None:
        return None
    found = {u: [values[n] for n in m if n in values] for u, m in units.members.items()}
    return {u: read(v[0]) for u, v in found.items() if v}
