"""What a classifier says of images: probabilities, decisions, and the mask that explains each."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from hinterland.classification.dataset.answers import listed
from hinterland.classification.dataset.cases import Units
from hinterland.classification.dataset.task import Task
from hinterland.classification.fitting.operating_point import OperatingPoint, aggregated
from hinterland.classification.model import ClassifierModel, ClassifierOutput
from hinterland.classification.record import ClassifierRecord, ClassifierRun
from hinterland.classification.scores.subgroups import place_of
from hinterland.data.io.formats import is_flat
from hinterland.data.io.journal import Journal
from hinterland.data.io.volume import file_ending, label_ending, read_volume, write_label
from hinterland.data.preprocessing.geometry import Geometry
from hinterland.data.preprocessing.preprocess import preprocess
from hinterland.evaluation.metrics.overlap import millilitres
from hinterland.labels import LabelError
from hinterland.types import Case, HinterlandError

EXPLAINED = ("rule", "mask_threshold", "size_voxels", "size_ml", "region")
"""Columns of predictions.csv that say what the mask behind a decision shows."""


def load_model(run: ClassifierRun) -> tuple[ClassifierModel, OperatingPoint]:
    """Load a finished classifier and its operating point."""
    point = OperatingPoint.read(run.path)
    return ClassifierModel(run.path, run.record, point.rules), point


def with_patients(
    cases: Sequence[Case], record: ClassifierRecord, pattern: str | None = None
) -> tuple[Case, ...]:
    """Find the patients of new images by their names.

    Args:
        cases: New images.
        record: The classifier; default of the pattern is its labels' `group_pattern`.
        pattern: A regular expression whose first group (or whole match) is the patient.

    Returns:
        The cases, each with its patient.

    Raises:
        HinterlandError: The pattern is no regular expression, or finds no patient in a name.
    """
    if pattern is None:
        try:
            found = [record.spec.case_settings(c.name).group for c in cases]
        except LabelError:  # names of another hospital: each image is a patient of its own
            return tuple(cases)
        return tuple(replace(c, group=g or c.group) for c, g in zip(cases, found, strict=True))
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise HinterlandError(
            f"patient pattern {pattern!r}: {error}."
            " Write a regular expression that finds the patient in a name."
        ) from None
    result = []
    for case in cases:
        match = compiled.search(case.name)
        if match is None:
            raise HinterlandError(
                f"the patient pattern {pattern!r} finds nothing in the image name {case.name!r}."
            )
        result.append(replace(case, group=match[1] if compiled.groups else match[0]))
    return tuple(result)


def predict_images(
    run: ClassifierRun,
    cases: Sequence[Case],
    masks: Path | None = None,
    *,
    overwrite: bool = False,
    journal: Journal | None = None,
    inspect: Callable[[Case, dict[int, np.ndarray]], None] | None = None,
    tick: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Classify images, one row per case.

    Args:
        run: A finished classifier.
        cases: What to classify; labels are not read.
        masks: Folder for the masks that explain the decisions (see `explanation`), in the geometry
            of the images; None writes none.
        overwrite: Replace masks that are there.
        journal: Whose masks may be there: those of the same command, before it was stopped.
        inspect: Called with each case and the explanation of every class that has one, as if it
            were decided for: class index -> bool (z, y, x) of the file.
        tick: Called with (done, total).

    Returns:
        Columns: `case`, `group`, `image`; for each class `score: CLASS` (each against the rest, as
        the model gives it) and `probability: CLASS` (calibrated, summing to one); `class`, decided
        by the operating point of single images, and `threshold`, the score it needed (empty where
        the most probable of several classes is taken). Where a mask shows the class: `rule` (does
        Algorithm 1 call it present? for the rule only), `mask_threshold` (the probability from
        which voxels belong to the mask), `size_voxels`, `size_ml` (where the file knows its
        spacing), `region`, and `mask`, its path. Of findings, `class` lists those that are called
        ("none"), and there is `called: FINDING` (1 or 0), `threshold: FINDING`, `rule: FINDING` ...
        for each.

    Raises:
        HinterlandError: An image cannot be read, or a mask is there already.
    """
    journal = journal or Journal()
    model, point = load_model(run)
    task, classes = run.record.task, run.record.task.classes
    rows: list[dict[str, object]] = []
    for done, case in enumerate(cases, start=1):
        try:
            volume = read_volume(case.images)
            image, _, geometry = preprocess(volume, run.record.plan)
        except HinterlandError as error:
            raise HinterlandError(f"case {case.name}: {error}") from None
        output = model.predict(image)
        probabilities = point.probabilities(output.scores[None])[0]
        called = np.flatnonzero(point.called(output.scores[None])[0]).tolist()
        wanted = list(output.masks) if inspect else [i for i in output.masks if i in called]
        shown = {i: explanation(output, i, model, geometry) for i in wanted}
        if inspect:
            inspect(case, {i: mask for i, (mask, _) in shown.items()})
        row: dict[str, object] = {"case": case.name, "group": case.group}
        row |= {"image": str(case.images[0])}
        row |= {f"score: {c}": float(s) for c, s in zip(classes, output.scores, strict=True)}
        row |= {f"probability: {c}": float(p) for c, p in zip(classes, probabilities, strict=True)}
        row |= decision(task, point, called)
        spacing = volume.spacing if not is_flat(case.images[0]) else None
        for index in (i for i in called if i in shown):
            mask, level = shown[index]
            told: dict[str, object] = _described(mask, level, spacing)
            if index in model.rules:
                t, tau = model.rules[index]
                told["rule"] = int(np.count_nonzero(output.masks[index] >= t) >= tau)
            if masks is not None:
                folder = masks / _folder(classes[index]) if task.independent else masks
                path = folder / f"{case.name}{label_ending(file_ending(case.images[0]))}"
                folder.mkdir(parents=True, exist_ok=True)
                replaced = overwrite or journal.ours(path)
                if replaced or not path.exists():  # else it is refused
                    journal.begin(path)
                write_label(path, mask.astype(np.uint8), like=volume, overwrite=replaced)
                journal.finish(path)
                told["mask"] = str(path)
            row |= {_of_class(task, column, index): value for column, value in told.items()}
        rows.append(row)
        if tick:
            tick(done, len(cases))
    scores = [f"{kind}: {c}" for kind in ("score", "probability") for c in classes]
    explained = [
        _of_class(task, column, index)
        for index in (task.scored if task.independent else (0,))
        for column in (*EXPLAINED, "mask")
    ]
    order = ["case", "group", "image", *scores, *decision(task, point, ()), *explained]
    found = pd.DataFrame(rows).reindex(columns=order)
    paths = [column for column in explained if column.partition(":")[0] == "mask"]
    return found.assign(**{column: found[column].fillna("") for column in paths})


def decision(task: Task, point: OperatingPoint, called: Collection[int]) -> dict[str, object]:
    """Write the columns that say what was decided, and the score that was needed.

    Args:
        task: the question.
        point: its thresholds.
        called: the classes that hold.

    Returns:
        `class` and `threshold`; of findings also `called: FINDING` and `threshold: FINDING`.
    """
    names = [task.classes[i] for i in sorted(called)]
    if not task.independent:
        only = set(point.thresholds) == {1}  # else the most probable one is taken
        needed = point.thresholds[1].value if only else float("nan")
        return {"class": listed(names), "threshold": needed}
    row: dict[str, object] = {"class": listed(names)}
    for index, name in enumerate(task.classes):
        row[f"called: {name}"] = int(index in called)
        row[f"threshold: {name}"] = point.thresholds[index].value
    return row


def decisions(task: Task, table: pd.DataFrame) -> dict[str, int]:
    """Count the rows of a table of predictions by class; of findings the rows that hold each."""
    if task.independent:
        return {c: int(table[f"called: {c}"].sum()) for c in task.classes}
    return {str(c): int(n) for c, n in table["class"].value_counts().items()}


def _of_class(task: Task, column: str, index: int) -> str:
    """Name a column that explains a decision; findings have one each."""
    return f"{column}: {task.classes[index]}" if task.independent else column


def _folder(name: str) -> str:
    """Make a folder's name of a finding's."""
    return re.sub(r"[^\w.=-]+", "_", name)


def patient_table(run: ClassifierRun, images: pd.DataFrame) -> pd.DataFrame:
    """Join the rows of `predict_images` into one row per patient.

    Scores are joined as in training (mean or max), and decided by the operating point of patients.

    Returns:
        Columns `patient`, `images`, `score: CLASS`, `probability: CLASS`, and those of `decision`;
        no row where the classifier judges single images.
    """
    _, point = load_model(run)
    task, patients = run.record.task, point.patients
    scores = [f"score: {c}" for c in task.classes]
    probable = [f"probability: {c}" for c in task.classes]
    if patients is None or not len(images):
        last = decision(task, point, ())
        return pd.DataFrame(columns=["patient", "images", *scores, *probable, *last])
    members: dict[str, tuple[str, ...]] = {}
    for name, group in zip(images["case"], images["group"], strict=True):
        members[group or name] = (*members.get(group or name, ()), name)
    own = dict(zip(images["case"], images[scores].to_numpy(float), strict=True))
    joined = aggregated(own, Units(members, {}, "patient"), point.aggregate)
    rows: list[dict[str, object]] = []
    for patient, score in joined.items():
        p = patients.probabilities(score[None])[0]
        row: dict[str, object] = {"patient": patient, "images": len(members[patient])}
        row |= dict(zip(scores, score.tolist(), strict=True))
        row |= dict(zip(probable, p.tolist(), strict=True))
        called = np.flatnonzero(patients.called(score[None])[0]).tolist()
        rows.append(row | decision(task, patients, called))
    return pd.DataFrame(rows)


def explanation(
    output: ClassifierOutput, index: int, model: ClassifierModel, geometry: Geometry
) -> tuple[np.ndarray, float]:
    """Cut the mask of a class so that it explains a decision for it.

    Voxels belong to it from t on. Where fewer than tau reach t, the decision rests on weaker
    evidence (the threshold of scores is fitted apart from t): then the tau most probable voxels
    are shown, so that no image is called positive with an empty mask.

    Args:
        output: what the classifier says of an image.
        index: of the class.
        model: the classifier.
        geometry: how the image came from its file.

    Returns:
        Bool (z, y, x) of the file, and the probability from which voxels belong to it.
    """
    found = output.masks[index].astype(np.float32)
    restored = geometry.undo(np.stack([1 - found, found]))[1]
    tau = model.tau(index, found.shape)
    count = min(max(1, round(tau * restored.size / found.size)), restored.size)
    weakest = float(np.partition(restored.ravel(), restored.size - count)[restored.size - count])
    level = min(model.threshold(index), weakest)
    return restored >= level, level


def _described(
    mask: np.ndarray, level: float, spacing: tuple[float, float, float] | None
) -> dict[str, object]:
    voxels = int(np.count_nonzero(mask))
    size = {"mask_threshold": level, "size_voxels": voxels, "region": place_of(mask)}
    return size if spacing is None else size | {"size_ml": voxels * millilitres(spacing)}
