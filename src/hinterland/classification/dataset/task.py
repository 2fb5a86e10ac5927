"""What is asked of an image: whether it holds a node of the tree, or its class by a column.

A task is one question, whose classes exclude each other, or a list of findings: yes-or-no questions
that are answered each by itself, because one image may hold several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hinterland.classification.dataset.label_table import negative, positive
from hinterland.labels import LabelTree
from hinterland.types import Case, HinterlandError

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
    other = [v for v in values if not (negative(v) or positive(v) or uncertain(v))]
    if other:
        raise HinterlandError(
            f"task {text!r}, one of several findings: each is a yes-or-no question, but the column "
            f"holds {_short(other)}. Write {column}={other[0]}, or 0 and 1 (empty: unknown)."
        )
    return Task(text, column, (f"no {column}", column), (None, None), yes_no=True)


def uncertain(value: str) -> bool:
    """Say whether a value of a yes-or-no column leaves the answer open."""
    return value.strip().lower() in UNCERTAIN


def _node(value: str, tree: LabelTree) -> str | None:
    return value if value in tree else None


def _short(values: Sequence[str]) -> str:
    return ", ".join(values[:8]) + (", ..." if len(values) > 8 else "")
