"""What is asked of an image: whether it holds a node of the tree, or its class by a column.

A task is one question, whose classes exclude each other, or a list of findings: yes-or-no questions
that are answered each by itself, because one image may hold several.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hinterland.classification.dataset.label_table import negative, positive
from hinterland.labels import LabelTree, Scheme
from hinterland.types import Case, HinterlandError

Target = int | tuple[int | None, ...]
"""The answer for a case: the index of its class, or of findings 1, 0 or None (unknown) for each."""
UNCERTAIN = frozenset("-1 -1.0 ? u uncertain unknown nan na n/a".split())  # noqa: SIM905
"""Values of a yes-or-no column that say nothing, as an empty cell does (CheXpert writes -1)."""


@dataclass(frozen=True)
class Task:
    """An image-level question.

    Attributes:
        text: as asked: `NODE`, `COLUMN`, `COLUMN=VALUE`, or several of them with commas.
        classes: their names; of a yes-or-no question the second is "yes". Of findings the name of
            each.
        nodes: for each class the tree's node whose mask shows it, or None.
        column: where the answers stand; a node's may also follow from masks (`from_masks`).
        yes_no: whether the column holds yes or no, in people's words for it.
        findings: the yes-or-no questions of a list of findings, one for each class; else empty.
    """

    text: str
    column: str
    classes: tuple[str, ...]
    nodes: tuple[str | None, ...]
    from_masks: bool = False
    yes_no: bool = False
    findings: tuple[Task, ...] = ()

    @property
    def independent(self) -> bool:
        """Whether several classes may hold at once: a list of findings."""
        return bool(self.findings)

    @property
    def scored(self) -> tuple[int, ...]:
        """Classes that are judged one against the rest: the "yes", or each of several."""
        two = len(self.classes) == 2 and not self.independent
        return (1,) if two else tuple(range(len(self.classes)))


def parse_task(text: str, cases: Sequence[Case], tree: LabelTree) -> Task:
    """Parse the task that `text` names.

    Args:
        text: NODE, COLUMN or COLUMN=VALUE; several of them, separated by commas, are findings.
        cases: whose image labels are looked at.
        tree: the label tree.

    Returns:
        The task.

    Raises:
        HinterlandError: no case has such a label, a column has too few or too many values, or a
            finding is no yes-or-no question or named twice.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if len(parts) < 2 or _is_one(text, cases, tree):
        return _question(text.strip().rstrip(",").strip(), cases, tree)
    return findings_of(parts, cases, tree)


def findings_of(parts: Sequence[str], cases: Sequence[Case], tree: LabelTree) -> Task:
    """Make a list of findings, each NODE, COLUMN=VALUE, or a COLUMN of yes and no.

    Args:
        parts: the findings.
        cases: whose image labels are looked at.
        tree: the label tree.

    Returns:
        The task.

    Raises:
        HinterlandError: a finding is no yes-or-no question, or named twice.
    """
    text = ",".join(parts)
    twice = sorted({part for part in parts if parts.count(part) > 1})
    if twice:
        raise HinterlandError(f"task {text!r} asks for {twice[0]!r} twice; name it once.")
    findings = tuple(_finding(part, cases, tree) for part in parts)
    short = [f.classes[1] for f in findings]
    names = tuple(f.text if short.count(n) > 1 else n for f, n in zip(findings, short, strict=True))
    return Task(
        text, "", names, tuple(f.nodes[1] for f in findings),
        any(f.from_masks for f in findings), findings=findings,
    )  # fmt: skip


def _is_one(text: str, cases: Sequence[Case], tree: LabelTree) -> bool:
    """Tell whether a text with commas is the name of one column, or one column's value."""
    column, equals, value = (part.strip() for part in text.partition("="))
    values = {str(c.image_labels[column]) for c in cases if column in c.image_labels}
    return column in tree or (value in values if equals else bool(values))


def _question(text: str, cases: Sequence[Case], tree: LabelTree) -> Task:
    column, equals, value = (part.strip() for part in text.partition("="))
    if column in tree and not equals:
        return Task(text, column, (f"no {column}", column), (None, column), from_masks=True)
    values = sorted({str(c.image_labels[column]) for c in cases if column in c.image_labels})
    if not values:
        columns = sorted({k for c in cases for k in c.image_labels})
        raise HinterlandError(
            f"task {text!r}: no node of the label tree ({', '.join(tree.nodes)}) and no column of "
            f"image labels ({', '.join(columns) or 'there are none'}). Name one, give a file with "
            "--image-labels, or write image_labels: FILE into labels.yaml."
        )
    if equals:
        if value not in values:
            raise HinterlandError(
                f"task {text!r}: the column {column!r} has no {value!r}, but {_short(values)}."
                " Name one of these."
            )
        return Task(text, column, (f"not {value}", value), (None, _node(value, tree)))
    if not 2 <= len(values) <= 100:
        raise HinterlandError(
            f"task {text!r}: the column has {len(values)} different values ({_short(values)}); "
            "expected 2 to 100 classes."
        )
    return Task(text, column, tuple(values), tuple(_node(v, tree) for v in values))


def _finding(text: str, cases: Sequence[Case], tree: LabelTree) -> Task:
    """Parse one of several findings; a column alone holds yes or no."""
    column = text.partition("=")[0].strip()
    values = sorted({str(c.image_labels[column]) for c in cases if column in c.image_labels})
    if "=" in text or column in tree or not values:
        return _question(text, cases, tree)
    other = [v for v in values if not (negative(v) or positive(v) or _uncertain(v))]
    if other:
        raise HinterlandError(
            f"task {text!r}, one of several findings: each is a yes-or-no question, but the column "
            f"holds {_short(other)}. Write {column}={other[0]}, or 0 and 1 (empty: unknown)."
        )
    return Task(text, column, (f"no {column}", column), (None, None), yes_no=True)


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
        elif label is None or (task.yes_no and _uncertain(str(label))):
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


def _uncertain(value: str) -> bool:
    return value.strip().lower() in UNCERTAIN


def _node(value: str, tree: LabelTree) -> str | None:
    return value if value in tree else None


def _short(values: Sequence[str]) -> str:
    return ", ".join(values[:8]) + (", ..." if len(values) > 8 else "")
