r"""Annotations and support structures combined: which leaves a voxel may belong to.

A voxel annotated with the set A of leaves, in which the source sees a structure with the leaves N,
may afterwards be any of A ∩ (N ∪ T), T being the lesions: an organ's mask does not say that there
is no lesion inside. Where that is empty the annotation knows better and stays. Where the source
sees nothing, A loses the leaves U of all structures it was able to see, but for lesions, which are
where an organ's mask has its holes: A \ (U \ T). So no lesion is ever ruled out, or in. Each set of
leaves is then written as an integer of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hinterland.labels import UNLABELLED, LabelSpec, LabelTree, Scheme
from hinterland.supports.sources.source import UNKNOWN
from hinterland.types import HinterlandError

Leaves = frozenset[int]
SUPPORTS = "supports"
"""The scheme of cases that had no label file."""


def present(annotation: Leaves, structure: Leaves, lesions: Leaves) -> Leaves:
    """Return A ∩ (N ∪ T), or A where the annotation says that the structure is not there.

    Args:
        annotation: A, the leaves that a value leaves open.
        structure: N, those of the structure that was seen.
        lesions: T, those of the target.

    Returns:
        The leaves that stay open.
    """
    if not annotation & structure:
        return annotation
    return annotation & (structure | lesions)


def absent(annotation: Leaves, seen: Leaves, lesions: Leaves) -> Leaves:
    r"""Return A \ (U \ T), or A where nothing would be left (the annotation knows better).

    Args:
        annotation: A, the leaves that a value leaves open.
        seen: U, those of all structures that would have been seen.
        lesions: T, those of the target.

    Returns:
        The leaves that stay open.
    """
    return annotation - (seen - lesions) or annotation


@dataclass(frozen=True)
class Merge:
    """The label file of one case: integers of the annotation x structures -> integers to write.

    Attributes:
        table: (values, structures + 2) int; column 0 where the source sees nothing, column s where
            it sees structure s (counted from 1), the last column where it did not look.
        kept: (values, structures + 2) bool: the annotation says that the structure is not there, or
            says as much or more about it already.
    """

    values: tuple[int, ...]
    table: np.ndarray
    kept: np.ndarray
    sets: Mapping[int, Leaves]

    def apply(self, label: np.ndarray | None, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return integers to write, and where the annotation was kept: both (z, y, x).

        Args:
            label: (z, y, x) integers of the annotation, None for an unlabelled case.
            index: (z, y, x) number of the structure, 0 for none, `UNKNOWN` for not looked at.

        Raises:
            HinterlandError: an integer that the scheme does not name.
        """
        column = np.where(index == UNKNOWN, self.table.shape[1] - 1, index)
        if label is None:
            row = np.zeros_like(column)
        else:
            known = np.array(self.values)
            order = np.argsort(known)
            row = order[np.searchsorted(known, label, sorter=order).clip(max=len(known) - 1)]
            wrong = np.unique(label[known[row] != label])
            if wrong.size:
                raise HinterlandError(
                    f"the label file holds {wrong.tolist()}, which its scheme does not name "
                    f"({sorted(self.values)}). Run `hinterland check`, and correct it."
                )
        return self.table[row, column], self.kept[row, column]

    def scheme(self, name: str, tree: LabelTree) -> Scheme:
        """Return the scheme under which the written file is read."""
        return Scheme(name, tree, tuple(sorted(self.sets.items(), key=lambda pair: pair[0])))


class Integers:
    """One integer for each set of leaves that structures bring in, the same in every case."""

    def __init__(
        self, spec: LabelSpec, schemes: Sequence[str], nodes: Sequence[str], lesions: Leaves
    ) -> None:
        """Assign integers to the label sets of the schemes in which the chosen cases are read."""
        self.spec, self.nodes, self.lesions = spec, tuple(nodes), lesions
        self.leaves = tuple(spec.tree.leaves_under(n) for n in nodes)
        self._given: dict[Leaves, int] = {}
        self._used = {v for s in spec.schemes.values() for v, _ in s.values} | {0}
        seen = frozenset().union(*self.leaves)
        annotations = [a for name in schemes for a in self.annotation(name).values()]
        for structure in self.leaves:  # structures first: they get the small integers
            for annotation in annotations:
                if annotation & structure and not annotation <= structure:
                    self._integer(present(annotation, structure, lesions))
        for annotation in annotations:
            if annotation & seen:
                self._integer(annotation)

    def annotation(self, scheme: str) -> dict[int, Leaves]:
        """Return integer -> leaves of a scheme; an unlabelled case is 0 (anything) everywhere."""
        if scheme == UNLABELLED:
            return {0: self.spec.tree.all_leaves}
        return dict(self.spec.scheme(scheme).label_values)

    def _integer(self, leaves: Leaves) -> int:
        if leaves not in self._given:
            self._given[leaves] = self._existing(leaves) or self._next()
        return self._given[leaves]

    def _existing(self, leaves: Leaves) -> int | None:
        """Return an integer that means just this wherever it is used, whatever a source can see."""
        seen = frozenset().union(*self.leaves) - self.lesions
        if len(leaves) > 1 and leaves & seen:
            return None  # where nothing is seen it will mean less
        schemes = self.spec.schemes.values()
        for value in sorted({v for s in schemes for v, _ in s.values} - {0}):
            if all(s.label_values.get(value, leaves) == leaves for s in schemes):
                return value
        return None

    def _next(self) -> int:
        value = next(v for v in range(1, len(self._used) + 2) if v not in self._used)
        self._used.add(value)
        return value

    def merge(self, scheme: str, provided: frozenset[str], partly: bool = False) -> Merge:
        """Tell how a case of one scheme is written.

        Args:
            scheme: the annotation scheme.
            provided: nodes that the source can see.
            partly: whether the source did not look at some voxels, whose annotation stays as it
                was.

        Returns:
            What each pair of integer and structure becomes.
        """
        annotation = self.annotation(scheme)
        pairs = zip(self.nodes, self.leaves, strict=True)
        seen = frozenset().union(*(s for n, s in pairs if n in provided))
        shape = (len(annotation), len(self.leaves) + 2)
        table, kept = np.zeros(shape, np.int32), np.zeros(shape, bool)
        sets: dict[int, Leaves] = {v: absent(a, seen, self.lesions) for v, a in annotation.items()}
        for row, (value, leaves) in enumerate(annotation.items()):
            table[row] = value
            for column, (node, structure) in enumerate(
                zip(self.nodes, self.leaves, strict=True), start=1
            ):
                disjoint = not leaves & structure
                kept[row, column] = disjoint or leaves <= structure
                refined = present(leaves, structure, self.lesions)
                if node in provided and not disjoint and refined != sets[value]:
                    table[row, column] = self._integer(refined)
                    sets[self._integer(refined)] = refined
            if partly and leaves != sets[value]:
                table[row, -1] = self._integer(leaves)
                sets[self._integer(leaves)] = leaves
        return Merge(tuple(annotation), table, kept, sets)
