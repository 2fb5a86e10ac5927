"""Which cases a classifier learns from, is tuned on and judged by, and what their labels are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hinterland.classification.dataset.task import Task, answers, parse_task, presence_in
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
        targets: unit -> class index.
    """

    members: Mapping[str, tuple[str, ...]]
    targets: Mapping[str, int]
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


def targets_of(dataset: Dataset, text: str, prepared: Prepared) -> tuple[Task, dict[str, int]]:
    """Find the task, and the class of every case where it is known.

    Args:
        dataset: the cases with their image labels.
        text: the task, as `parse_task` reads it.
        prepared: all labelled cases; the presence of a node is read off their label values.

    Returns:
        The task, and case -> index into its classes.
    """
    task = parse_task(text, dataset.cases, dataset.labels.tree)
    presence: dict[str, int] = {}
    if task.from_masks:
        for case in dataset.cases:
            if case.labelled and case.name in prepared:
                found = presence_in(
                    dataset.labels.scheme(case.scheme), prepared[case.name].locations, task.column
                )
                if found is not None:
                    presence[case.name] = found
    return task, answers(task, dataset.cases, presence)


def split_by_class(
    dataset: Dataset, targets: Mapping[str, int], fold: int | str, seed: int, labelled: str | None
) -> dict[str, list[str]]:
    """Return train, val and test of the cases whose class is known, split as segmentation runs are.

    Args:
        dataset: the cases.
        targets: case -> class, where it is known.
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


def _as_known(case: Case, target: int | None) -> Case:
    """Make a case that the splitting functions take for one with this class, or for unlabelled."""
    if target is None:
        return replace(case, label=None, scheme="none", image_labels={})
    return replace(case, label=case.images[0], scheme="known", image_labels={"class": target})


def check_split(
    split: Mapping[str, Sequence[str]],
    targets: Mapping[str, int],
    task: Task,
    parts: Sequence[str] = SPLITS[:2],
) -> None:
    """Refuse a split one of whose `parts` lacks a judged class or its opposite.

    Nothing could be fitted otherwise.

    Args:
        split: part -> names.
        targets: case -> class.
        task: the question.
        parts: which of them are looked at.

    Raises:
        HinterlandError: there is such a part.
    """
    for part in parts:
        found = [targets[name] for name in split[part]]
        for index in task.scored:
            if index not in found or all(y == index for y in found):
                which = "nothing but" if found and index in found else "no case of"
                raise HinterlandError(
                    f"the {part} split ({len(found)} cases) has {which} {task.classes[index]!r}; "
                    "training, thresholds and calibration need both. Take another --fold, give "
                    "more labels, or leave the class out."
                )


def unit_of(
    task: Task, targets: Mapping[str, int], groups: Mapping[str, str], asked: str = "auto"
) -> str:
    """Say what is judged: "case" or "patient".

    Patients where several cases are of one patient and a column's label is the same for all of
    them; a node may be in one scan and not in another.

    Args:
        task: the question.
        targets: case -> class.
        groups: case -> patient.
        asked: "case" or "patient" decides it.

    Returns:
        "case" or "patient".
    """
    if asked != "auto":
        return asked
    by_group = _by_group(targets, groups)
    same = all(len({targets[n] for n in members}) == 1 for members in by_group.values())
    one_each = len(by_group) == len(targets)
    return "case" if task.from_masks or not same or one_each else "patient"


def units_of(
    task: Task,
    names: Sequence[str],
    targets: Mapping[str, int],
    groups: Mapping[str, str],
    unit: str = "auto",
) -> Units:
    """Gather the cases into what is judged; see `unit_of`.

    A patient whose cases differ holds the class of a yes-or-no question if one of them does.

    Args:
        task: the question.
        names: of the cases.
        targets: case -> class.
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
    found: dict[str, int] = {}
    for group, cases in members.items():
        classes = {targets[n] for n in cases}
        if len(classes) > 1 and len(task.classes) > 2:
            raise HinterlandError(
                f"the scans of patient {group!r} have different classes "
                f"({', '.join(task.classes[i] for i in sorted(classes))}): {task.text!r} cannot be "
                "judged by patient. Give --unit case, or one label for each patient."
            )
        found[group] = max(classes)
    return Units(members, found, name)


def _by_group(names: Iterable[str], groups: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        key = groups.get(name) or name
        found[key] = (*found.get(key, ()), name)
    return found
