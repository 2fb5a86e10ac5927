"""The teachers of a distilled run: which runs they are, whether they fit it, and their networks."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from hinterland.labels import Coarsening, LabelError, LabelTree
from hinterland.methods import Method, Teacher
from hinterland.networks.registry import patch_multiple
from hinterland.training.runs.record import RunRecord
from hinterland.training.runs.run import Run
from hinterland.types import HinterlandError

log = logging.getLogger(__name__)
_SAME = ("dims", "channels", "normalisation", "spacing", "unit", "transpose")
"""Fields of a plan that decide what a network sees of an image."""
_SHOWN = 5


def open_teachers(paths: Sequence[Path]) -> tuple[Run, ...]:
    """Open the finished runs that a student is to learn from.

    Args:
        paths: run directories.

    Returns:
        The runs, in this order.

    Raises:
        HinterlandError: one is no finished run, or comes twice.
    """
    runs = tuple(Run(path) for path in paths)
    places = [run.path.resolve() for run in runs]
    for run in runs:
        _ = run.record  # refuses what is no run
        if places.count(run.path.resolve()) > 1:
            raise HinterlandError(
                f"{run.path} is named twice among the teachers. Name every run once: it would "
                "count twice in their mean."
            )
        if not run.finished:
            raise HinterlandError(
                f"the teacher {run.path} is not trained to its end (it has no summary.json). "
                f"Finish it first: hinterland resume {run.path}"
            )
    return runs


def refuse_teachers(method: Method, teachers: Sequence[Path]) -> None:
    """Refuse a method that needs teachers and has none, or has some and needs none.

    Raises:
        HinterlandError: it is so.
    """
    if method.needs_teachers and not teachers:
        raise HinterlandError(
            f"method {method.name!r} learns from trained runs, and none is named. Name them: "
            "hinterland distil RUN RUN ... --out STUDENT"
        )
    if teachers and not method.needs_teachers:
        raise HinterlandError(
            f"method {method.name!r} learns from no teachers, and {len(teachers)} came. Leave "
            "them away, or take the method 'distillation'."
        )


def as_recorded(teachers: Sequence[Run]) -> tuple[dict[str, str], ...]:
    """Return what a student's record says of its teachers: the run, its checkpoint, a hash."""
    return tuple(
        {"run": str(t.path.resolve()), "checkpoint": t.reported, "digest": _digest(t)}
        for t in teachers
    )


def check_teachers(teachers: Sequence[Run], record: RunRecord) -> dict[str, list[str]]:
    """Refuse teachers that see other images than the student, other classes, or its test cases.

    Args:
        teachers: finished runs.
        record: of the student.

    Returns:
        Teacher -> the student's validation cases whose patients it was trained on, where there are
        any: on those, the student's figures are too good.

    Raises:
        HinterlandError: one message that names every teacher that does not fit, and why.
    """
    cells = record.make_method().cells
    wrong = [f"{t.path}: {why}" for t in teachers for why in _misfits(t, record, cells)]
    if wrong:
        raise HinterlandError(
            "these teachers cannot teach this student:\n  " + "\n  ".join(wrong) + "\nTeachers see "
            "the student's own patches and know its classes: distil runs of one plan, one "
            "labels.yaml and one split together, and leave the others away."
        )
    seen = {str(t.path.resolve()): _seen(t, record, "val") for t in teachers}
    seen = {teacher: cases for teacher, cases in seen.items() if cases}
    if seen:
        log.warning(
            "%s", leakage(seen, len(record.split["val"])) + " Distil runs that hold out the same "
            "cases, or judge the student on test cases."
        )  # fmt: skip
    return seen


def leakage(seen: dict[str, list[str]], cases: int) -> str:
    """Say how many validation cases the teachers know.

    Args:
        seen: what `check_teachers` returned; not empty.
        cases: how many validation cases there are.

    Returns:
        A sentence or two.
    """
    known = len({name for names in seen.values() for name in names})
    return (
        f"{known} of the {cases} validation cases are of patients that {len(seen)} of the teachers "
        "were trained on: the Dice of these teachers, of their mean and of the student is too good "
        "there."
    )


def load_teachers(record: RunRecord) -> tuple[Teacher, ...]:
    """Load the networks of a student's teachers, on the CPU.

    Args:
        record: of the student.

    Returns:
        The teachers; none, where the run has none.

    Raises:
        HinterlandError: a teacher is gone, or its weights are others than at the start.
    """
    found = []
    for told in record.teachers:
        run = Run(Path(told["run"]))
        if not run.path.is_dir():
            raise HinterlandError(
                f"the teacher {run.path} of this run is gone. Put it back: the student asks it at "
                "each step until it is trained and judged."
            )
        if (run.reported, _digest(run)) != (told["checkpoint"], told["digest"]):
            raise HinterlandError(
                f"the weights of the teacher {run.path} are not those that this run began with. "
                "Restore them, or distil anew into another --out."
            )
        networks, method = run.networks(), run.method
        cells = in_tree(method.cells, record.spec.tree)
        found.append(Teacher(cells, networks, partial(method.probabilities, networks)))
    return tuple(found)


def in_tree(at: Coarsening, tree: LabelTree) -> Coarsening:
    """Return a coarsening as one of another tree with the same leaves.

    Raises:
        LabelError: the leaves differ.
    """
    leaves, known = at.tree.leaf_names, tree.leaf_names
    if sorted(leaves) != sorted(known):
        raise LabelError(
            f"it knows the classes {list(leaves)}, the student {list(known)}; expected the same. "
            "Use one labels.yaml."
        )
    groups = tuple(frozenset(known.index(leaves[i]) for i in group) for group in at.groups)
    return Coarsening(tree, at.names, groups)


def _misfits(teacher: Run, record: RunRecord, cells: Coarsening) -> list[str]:
    """Say why a teacher does not fit the student of a record; nothing where it does."""
    plan, own = record.plan, teacher.record.plan
    found = [
        f"its {name} is {_short(getattr(own, name))}, the student's {_short(getattr(plan, name))}"
        for name in _SAME
        if getattr(own, name) != getattr(plan, name)
    ]
    if found:
        return found
    multiple = patch_multiple(teacher.record.train.network, own)
    if any(p % m for p, m in zip(plan.patch_size, multiple, strict=True)):
        found.append(
            f"it takes patches whose edges are multiples of {multiple}, the student's patch is "
            f"{plan.patch_size}"
        )
    try:
        told = in_tree(teacher.method.cells, record.spec.tree)
        if not cells.refines(told):
            found.append(
                f"it tells ({told}) apart, and the student only ({cells}): train the student on "
                "finer groups (--on), or on the default"
            )
    except LabelError as error:
        found.append(str(error))
    test = [set(r.split["test"]) for r in (teacher.record, record)]
    if test[0] != test[1]:
        found.append(
            f"its test split has {len(test[0])} cases, the student's {len(test[1])}, and only "
            f"{len(test[0] & test[1])} are the same"
        )
    if known := _seen(teacher, record, "test"):
        found.append(f"it was trained on patients of the test cases {', '.join(known[:_SHOWN])}")
    return found


def _seen(teacher: Run, record: RunRecord, split: str) -> list[str]:
    """Name the student's cases of a split whose patients a teacher was trained on."""
    own = teacher.record
    patients = {own.groups.get(name) or name for name in own.split["train"]}
    return [n for n in record.split[split] if (record.groups.get(n) or n) in patients]


def _short(value: object) -> str:
    """Write a field of a plan without the words that all values of it share."""
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_short, value)) + ")"
    text = str(value)
    return text.partition("(")[2].removesuffix(")") if text.startswith("Normalisation(") else text


def _digest(run: Run) -> str:
    """Hash the checkpoint that a run reports; 16 hexadecimal digits."""
    file = run.path / "checkpoints" / f"{run.reported}.ckpt"
    if not file.is_file():
        raise HinterlandError(
            f"the teacher {run.path} has lost {file.name}. Restore it, or leave this run away."
        )
    with file.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=8)).hexdigest()
