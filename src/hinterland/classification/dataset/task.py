"""What is asked of an image: whether it holds a node of the tree, or its class by a column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hinterland.labels import LabelTree, Scheme
from hinterland.types import Case, HinterlandError


@dataclass(frozen=True)
class Task:
    """An image-level question.

    Attributes:
        text: as asked: `NODE`, `COLUMN` or `COLUMN=VALUE`.
        classes: their names; of a yes-or-no question the second is "yes".
        nodes: for each class the tree's node whose mask shows it, or None.
        column: where the answers stand; a node's may also follow from masks (`from_masks`).
    """

    text: str
    column: str
    classes: tuple[str, ...]
    nodes: tuple[str | None, ...]
    from_masks: bool = False

    @property
    def scored(self) -> tuple[int, ...]:
        """Classes that are judged one against the rest: the "yes", or each of several."""
        return (1,) if len(self.classes) == 2 else tuple(range(len(self.classes)))


def parse_task(text: str, cases: Sequence[Case], tree: LabelTree) -> Task:
    """Parse the task that `text` names.

    Args:
        text: NODE, COLUMN or COLUMN=VALUE.
        cases: whose image labels are looked at.
        tree: the label tree.

    Returns:
        The task.

    Raises:
        HinterlandError: no case has such a label, or a column has too few or too many values.
    """
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


def answers(task: Task, cases: Iterable[Case], presence: Mapping[str, int]) -> dict[str, int]:
    """Find each case's index into `task.classes`; cases whose class is not known are left out.

    Args:
        task: the question.
        cases: the cases; an image label, where there is one, comes first.
        presence: case -> whether its annotation holds the node (1, 0), for tasks `from_masks`.

    Returns:
        Case -> index.
    """
    found = {}
    for case in cases:
        label = case.image_labels.get(task.column)
        if task.from_masks:
            known = presence.get(case.name) if label is None else int(label)
            if known is not None:
                found[case.name] = known
        elif label is not None:
            positive = len(task.classes) == 2 and "=" in task.text
            same = str(label) == task.classes[1]
            found[case.name] = int(same) if positive else task.classes.index(str(label))
    return found


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


def _node(value: str, tree: LabelTree) -> str | None:
    return value if value in tree else None


def _short(values: Sequence[str]) -> str:
    return ", ".join(values[:8]) + (", ..." if len(values) > 8 else "")
