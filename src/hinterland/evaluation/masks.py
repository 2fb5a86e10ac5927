"""From the integers of label files to the groups of a question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from hinterland.labels import Coarsening, LabelError, LabelTree
from hinterland.types import HinterlandError

ValueMap = Mapping[int, frozenset[int]]  # integer in a file -> the leaves it may be

_UNKNOWN = 255
MOST_GROUPS = _UNKNOWN - 1
"""Groups of one question, with the sets of leaves that annotations leave open."""


@dataclass(frozen=True)
class GroupMap:
    """A label array as group numbers of a coarsening.

    Attributes:
        codes: uint8, not to be written to; below len(at) a group, from there on one of `open_sets`:
            sets of leaves that lie in no single group, so that membership in the groups they touch
            is undecided.
    """

    codes: np.ndarray
    at: Coarsening
    open_sets: tuple[frozenset[int], ...]

    def crop(self, box: tuple[slice, ...]) -> GroupMap:
        """Return the part inside a box."""
        return replace(self, codes=self.codes[box])

    def mask(self, group: int) -> np.ndarray:
        """Mark the voxels inside a group."""
        return self.codes == group

    def undecided(self, group: int) -> np.ndarray | None:
        """Mark the voxels that may or may not belong to the group; None where there are none."""
        result: np.ndarray | None = None
        for i, leaves in enumerate(self.open_sets):
            if leaves & self.at.groups[group]:
                hit = self.codes == len(self.at) + i
                result = hit if result is None else result | hit
        return result if result is not None and result.any() else None


def encode(array: np.ndarray, meaning: ValueMap, at: Coarsening, what: str) -> GroupMap:
    """Translate the integers of a label array by their meaning.

    Args:
        array: labels (z, y, x).
        meaning: integer -> leaves.
        at: the question.
        what: the file's name, for messages.

    Returns:
        The group of each voxel, or the set of leaves where that lies in several.

    Raises:
        HinterlandError: there are integers that `meaning` does not name.
    """
    if array.dtype.kind not in "iub":
        raise HinterlandError(f"{what} holds {array.dtype} values; expected integer class numbers.")
    if array.dtype == bool:
        array = array.view(np.uint8)
    groups = [next((i for i, g in enumerate(at.groups) if s <= g), None) for s in meaning.values()]
    open_sets = tuple(dict.fromkeys(
        s for s, g in zip(meaning.values(), groups, strict=True) if g is None
    ))  # fmt: skip
    if len(at) + len(open_sets) >= _UNKNOWN:
        raise HinterlandError(
            f"{what}: more than {MOST_GROUPS} groups in one question. Ask for fewer."
        )
    codes = {
        value: len(at) + open_sets.index(leaves) if group is None else group
        for (value, leaves), group in zip(meaning.items(), groups, strict=True)
    }
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    inside = [v for v in codes if low <= v <= high]
    offset = min(low, 0)
    if high - offset > 1 << 20:  # a table would be larger than the sense it makes
        _refuse(array, meaning, what)
    table = np.full(high - offset + 1, _UNKNOWN, dtype=np.uint8)
    for value in inside:
        table[value - offset] = codes[value]
    if array.dtype == np.uint8 and np.array_equal(table, np.arange(len(table))):
        return GroupMap(array, at, open_sets)  # the integers are the codes already
    coded = table[array.astype(np.int64) - offset if offset else array]
    if (table == _UNKNOWN).any() and (coded == _UNKNOWN).any():
        _refuse(array, meaning, what)
    return GroupMap(coded, at, open_sets)


def _refuse(array: np.ndarray, meaning: ValueMap, what: str) -> None:
    unknown = sorted(set(np.unique(array).tolist()) - set(meaning))
    raise HinterlandError(
        f"{what} holds the label{'s' if len(unknown) > 1 else ''} "
        f"{', '.join(map(str, unknown[:10]))}, which nothing names; known are "
        f"{sorted(meaning)}. Name them in labels.yaml (or in the dataset.json or labels.json "
        "beside the predictions), or correct the file."
    )


def decidable(coded: GroupMap, meaning: ValueMap, what: str) -> GroupMap:
    """Return the groups of a prediction if every voxel lies in one.

    Args:
        coded: groups of a prediction.
        meaning: integer -> leaves, for the message.
        what: the file's name, for the message.

    Returns:
        `coded`.

    Raises:
        HinterlandError: a voxel's label leaves several groups open.
    """
    for i, leaves in enumerate(coded.open_sets):
        if (coded.codes == len(coded.at) + i).any():
            value = next(v for v, s in meaning.items() if s == leaves)
            names = [coded.at.tree.leaf_names[leaf] for leaf in sorted(leaves)]
            raise HinterlandError(
                f"{what}: the label {value} means one of {names}, which the question "
                f"({coded.at}) tells apart. Ask a coarser question, or name the predicted classes "
                'in a labels.json beside the predictions: {"labels": {"class": integer}}.'
            )
    return coded


def named_values(tree: LabelTree, labels: Mapping[str, int], where: str) -> ValueMap:
    """Read what a prediction's integers mean from names: nodes, expressions, `everything else`.

    Args:
        tree: the label tree.
        labels: name -> integer.
        where: the file's name, for messages.

    Returns:
        Integer -> leaves.

    Raises:
        LabelError: a name is not in the tree.
    """
    result: dict[int, frozenset[int]] = {}
    rest: int | None = None
    for name, value in labels.items():
        if name == "everything else" and name not in tree:
            rest = int(value)
        elif name != "ignore" or name in tree:
            try:
                result[int(value)] = tree.parse(name)
            except LabelError as error:
                raise LabelError(f"{where}: {error}") from None
    if rest is not None:
        result[rest] = tree.all_leaves - frozenset().union(*result.values())
    return _disjoint(result)


def _disjoint(meaning: dict[int, frozenset[int]]) -> ValueMap:
    """Let a name that holds others ("background" beside "lung") mean what they leave."""
    result = {}
    for value, leaves in meaning.items():
        inner = [s for v, s in meaning.items() if v != value and s < leaves]
        result[value] = (leaves - frozenset().union(*inner)) or leaves
    return result


def groups_of(at: Coarsening) -> Iterator[tuple[int, str]]:
    """Yield number and name of the groups that are evaluated: all but the background."""
    return ((g, at.names[g]) for g in at.foreground)
