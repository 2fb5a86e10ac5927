"""The answers to a task: of each case by image label or mask, and of patients by their cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hinterland.classification.dataset.label_table import positive
from hinterland.classification.dataset.task import Task, uncertain
from hinterland.labels import LabelTree, Scheme
from hinterland.types import Case, HinterlandError

Target = int | tuple[int | None, ...]
"""The answer for a case: the index of its class, or of findings 1, 0 or None (unknown) for each."""


def answers(
    task: Task, cases: Iterable[Case], presence: Mapping[str, Mapping[str, int]], tree: LabelTree
) -> dict[str, Target]:
    """Find each case's answer; cases of which nothing is known are left out.

    What the tree says of findings is filled in: a node that is there is part of every node above
    it, and one that is not there holds none of the nodes below it.

    Args:
        task: the question.
        cases: the cases; an image label, where there is one, comes first.
        presence: node -> case -> whether its annotation holds the node (1, 0), for tasks
            `from_masks`.
        tree: the label tree.

    Returns:
        Case -> answer.

    Raises:
        HinterlandError: findings of a case contradict one another by the tree.
    """
    cases = tuple(cases)
    if not task.independent:
        return {n: v for n, v in _answers(task, cases, presence).items() if v is not None}
    columns = [_answers(finding, cases, presence) for finding in task.findings]
    found: dict[str, Target] = {}
    wrong: list[str] = []
    for case in cases:
        row = _filled(task, [column.get(case.name) for column in columns], tree)
        if row is None:
            wrong.append(case.name)
        elif any(known is not None for known in row):
            found[case.name] = row
    if wrong:
        raise HinterlandError(
            f"task {task.text!r}: the image labels of {len(wrong)} case(s) ({', '.join(wrong[:3])}"
            f"{', ...' if len(wrong) > 3 else ''}) contradict the label tree: a class is said to be"
            " there, and the class that holds it, or all that it consists of, not to be there. "
            "Correct the table, or empty the cell that is not known."
        )
    return found


def _answers(
    task: Task, cases: Iterable[Case], presence: Mapping[str, Mapping[str, int]]
) -> dict[str, int | None]:
    """Answer one question for each case, None where that is not known."""
    found: dict[str, int | None] = {}
    for case in cases:
        label = case.image_labels.get(task.column)
        if task.from_masks:
            seen = presence.get(task.column, {}).get(case.name)
            found[case.name] = seen if label is None else int(label)
        elif label is None or (task.yes_no and uncertain(str(label))):
            found[case.name] = None
        elif task.yes_no:
            found[case.name] = int(positive(str(label)))
        elif "=" in task.text:
            found[case.name] = int(str(label) == task.classes[1])
        else:
            found[case.name] = task.classes.index(str(label))
    return found


def _filled(
    task: Task, row: Sequence[int | None], tree: LabelTree
) -> tuple[int | None, ...] | None:
    """Fill in what the tree says of a case's findings; None where they contradict it."""
    leaves = [None if n is None else tree.leaves_under(n) for n in task.nodes]
    absent = frozenset[int]().union(
        *(held for held, known in zip(leaves, row, strict=True) if held and known == 0)
    )
    present = [held for held, known in zip(leaves, row, strict=True) if held and known == 1]
    if any(held <= absent for held in present):
        return None
    filled = list(row)
    for index, held in enumerate(leaves):
        if held and row[index] is None:
            if any(inner <= held for inner in present):
                filled[index] = 1
            elif held <= absent:
                filled[index] = 0
    return tuple(filled)


def holds(target: Target, index: int) -> int | None:
    """Tell whether an answer means a class: 1, 0, or None where that is not known."""
    return target[index] if isinstance(target, tuple) else int(target == index)


def joined(targets: Iterable[Target]) -> Target:
    """Join the answers for a patient's cases: what one of them holds, the patient holds.

    >>> joined([(0, None, 1), (1, None, None)])
    (1, None, 1)
    """
    rows = list(targets)
    if not isinstance(rows[0], tuple):
        return max(r for r in rows if not isinstance(r, tuple))
    known = [
        [r[i] for r in rows if isinstance(r, tuple) and r[i] is not None]
        for i in range(len(rows[0]))
    ]
    return tuple(max(column, default=None) for column in known)  # type: ignore[type-var]


def contradict(targets: Iterable[Target], classes: int) -> bool:
    """Tell whether the answers for a patient's cases differ in something that is known."""
    rows = list(targets)
    return any(len({holds(r, i) for r in rows} - {None}) > 1 for i in range(classes))


def name_of(task: Task, target: Target) -> str:
    """Say an answer in words: a class, or the findings that are there."""
    if not isinstance(target, tuple):
        return task.classes[target]
    return listed([c for c, known in zip(task.classes, target, strict=True) if known])


def listed(findings: Sequence[str]) -> str:
    """Join the names of findings, "none" where there is none."""
    return ", ".join(findings) or "none"


def presence_in(scheme: Scheme, values: Iterable[int], node: str) -> int | None:
    """Return 1 if a value says `node`, 0 if each rules it out, None where that is open.

    Args:
        scheme: says what the values mean.
        values: those of an annotation.
        node: that is asked for.

    Returns:
        1, 0 or None.
    """
    leaves = scheme.tree.leaves_under(node)
    sets = [scheme.label_values[v] for v in values if v in scheme.label_values]
    if any(s <= leaves for s in sets):
        return 1
    return None if any(s & leaves for s in sets) or not sets else 0
