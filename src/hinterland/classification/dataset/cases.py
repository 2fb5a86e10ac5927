"""Which cases a classifier learns from, is tuned on and judged by, and what their labels are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hinterland.classification.dataset.answers import (
    Target,
    answers,
    contradict,
    holds,
    joined,
    name_of,
    presence_in,
)
from hinterland.classification.dataset.task import Task, parse_task
from hinterland.data.dataset.image_labels import read_image_labels
from hinterland.data.dataset.splits import fold as make_fold
from hinterland.data.dataset.subsets import select
from hinterland.data.preprocessing.cache import Prepared
from hinterland.types import Case, Dataset, HinterlandError

SPLITS = ("train", "val", "test")
UNITS = ("auto", "case", "patient")


@dataclass(frozen=True)
class Units:
    """What is judged: cases, or patients where the label is the patient's.

    Attributes:
        members: unit -> its cases.
        targets: unit -> answer.
    """

    members: Mapping[str, tuple[str, ...]]
    targets: Mapping[str, Target]
    name: str


def with_image_labels(dataset: Dataset, file: Path | None) -> Dataset:
    """Replace the image labels of a data set by those of a CSV file.

    Raises:
        HinterlandError: no row of the file belongs to a case or patient.
    """
    if file is None:
        return dataset
    rows = read_image_labels(file, dataset.labels.tree)
    cases = tuple(
        replace(c, image_labels={**rows.get(c.group, {}), **rows.get(c.name, {})})
        for c in dataset.cases
    )
    if not any(c.image_labels for c in cases):
        raise HinterlandError(
            f"{file}: none of its {len(rows)} rows belongs to a case or patient of {dataset.root}. "
            "Its first column must hold their names."
        )
    return dataset.replace(cases=cases)


def targets_of(dataset: Dataset, text: str, prepared: Prepared) -> tuple[Task, dict[str, Target]]:
    """Find the task, and the answer for every case where it is known.

    Args:
        dataset: the cases with their image labels.
        text: the task, as `parse_task` reads it.
        prepared: all labelled cases; the presence of a node is read off their label values.

    Returns:
        The task, and case -> answer.
    """
    task = parse_task(text, dataset.cases, dataset.labels.tree)
    values = {
        c.name: prepared[c.name].locations
        for c in dataset.cases
        if task.from_masks and c.labelled and c.name in prepared
    }
    return task, answers_in(task, dataset, values)


def answers_in(
    task: Task, dataset: Dataset, values: Mapping[str, Iterable[int]]
) -> dict[str, Target]:
    """Find the answer for every case where it is known, by image labels and by masks.

    Args:
        task: the question.
        dataset: the cases with their image labels.
        values: case -> the integers of its mask.

    Returns:
        Case -> answer.
    """
    asked = [q.column for q in (*task.findings, task) if q.from_masks and q.column]
    presence: dict[str, dict[str, int]] = {node: {} for node in asked}
    for case in dataset.cases:
        for node in asked if case.name in values else ():
            scheme = dataset.labels.scheme(case.scheme)
            known = presence_in(scheme, values[case.name], node)
            if known is not None:
                presence[node][case.name] = known
    return answers(task, dataset.cases, presence, dataset.labels.tree)


def split_by_class(
    dataset: Dataset,
    targets: Mapping[str, Target],
    fold: int | str,
    seed: int,
    labelled: str | None,
) -> dict[str, list[str]]:
    """Return train, val and test of the cases whose class is known, split as segmentation runs are.

    Args:
        dataset: the cases.
        targets: case -> answer, where it is known.
        fold: a fold's number, "fixed" or "all".
        seed: of the draws.
        labelled: only these training cases are learnt from, as `select` reads it.

    Returns:
        Part -> names.
    """
    known = dataset.replace(cases=tuple(_as_known(c, targets.get(c.name)) for c in dataset.cases))
    keep = select(known.train, labelled) if labelled and fold == "fixed" else frozenset()
    split = make_fold(known, fold, seed, keep=keep)
    parts = {"train": split.train, "val": split.val, "test": split.test}
    names = {p: [c.name for c in cases if c.name in targets] for p, cases in parts.items()}
    if labelled:
        chosen = select(split.train, labelled)
        names["train"] = [n for n in names["train"] if n in chosen]
    return names


def _as_known(case: Case, target: Target | None) -> Case:
    """Make a case that the splitting functions take for one with this answer, or for unlabelled."""
    if target is None:
        return replace(case, label=None, scheme="none", image_labels={})
    row = target if isinstance(target, tuple) else (target,)
    labels = {f"class{i}": known for i, known in enumerate(row) if known is not None}
    return replace(case, label=case.images[0], scheme="known", image_labels=labels)


def check_split(
    split: Mapping[str, Sequence[str]],
    targets: Mapping[str, Target],
    task: Task,
    parts: Sequence[str] = SPLITS[:2],
) -> None:
    """Refuse a split one of whose `parts` lacks a judged class or its opposite.

    Nothing could be fitted otherwise.

    Args:
        split: part -> names.
        targets: case -> answer.
        task: the question.
        parts: which of them are looked at.

    Raises:
        HinterlandError: there is such a part.
    """
    for part in parts:
        for index in task.scored:
            found = [holds(targets[name], index) for name in split[part]]
            known = [y for y in found if y is not None]
            if set(known) != {0, 1}:
                which = "nothing but" if 1 in known else "no case of"
                raise HinterlandError(
                    f"the {part} split ({len(known)} cases) has {which} {task.classes[index]!r}; "
                    "training, thresholds and calibration need both. Take another --fold, give "
                    "more labels, leave the class out, or add negatives (docs/classify.md)."
                )


def unit_of(
    task: Task, targets: Mapping[str, Target], groups: Mapping[str, str], asked: str = "auto"
) -> str:
    """Say what is judged: "case" or "patient".

    Patients where several cases are of one patient and a column's label is the same for all of
    them; a node may be in one scan and not in another.

    Args:
        task: the question.
        targets: case -> answer.
        groups: case -> patient.
        asked: "case" or "patient" decides it.

    Returns:
        "case" or "patient".
    """
    if asked != "auto":
        return asked
    by_group = _by_group(targets, groups)
    same = not any(
        contradict((targets[n] for n in members), len(task.classes))
        for members in by_group.values()
    )
    one_each = len(by_group) == len(targets)
    return "case" if task.from_masks or not same or one_each else "patient"


def units_of(
    task: Task,
    names: Sequence[str],
    targets: Mapping[str, Target],
    groups: Mapping[str, str],
    unit: str = "auto",
) -> Units:
    """Gather the cases into what is judged; see `unit_of`.

    A patient whose cases differ holds the class of a yes-or-no question, or a finding, if one of
    them does.

    Args:
        task: the question.
        names: of the cases.
        targets: case -> answer.
        groups: case -> patient.
        unit: "case", "patient" or "auto".

    Returns:
        What is judged.

    Raises:
        HinterlandError: cases of one patient differ in a question with several classes.
    """
    targets = {n: targets[n] for n in names}
    name = unit_of(task, targets, groups, unit)
    if name == "case":
        return Units({n: (n,) for n in names}, targets, name)
    members = _by_group(targets, groups)
    found: dict[str, Target] = {}
    for group, cases in members.items():
        classes = {targets[n] for n in cases}
        if len(classes) > 1 and len(task.classes) > 2 and not task.independent:
            raise HinterlandError(
                f"the scans of patient {group!r} have different classes "
                f"({', '.join(sorted(name_of(task, c) for c in classes))}): {task.text!r} cannot be"
                " judged by patient. Give --unit case, or one label for each patient."
            )
        found[group] = joined(targets[n] for n in cases)
    return Units(members, found, name)


def _by_group(names: Iterable[str], groups: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        key = groups.get(name) or name
        found[key] = (*found.get(key, ()), name)
    return found
