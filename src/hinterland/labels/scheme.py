"""Annotation schemes: what the integers of a label file mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hinterland.errors import LabelError
from hinterland.labels.tree import LabelTree

UNLABELLED = "none"


@dataclass(frozen=True)
class Scheme:
    """Integer in the file -> set of leaves, for one way of annotating.

    An inner node means "one of the leaves below"; the set of all leaves means "ignore". The scheme
    without values, `UNLABELLED`, says nothing about any voxel.
    """

    name: str
    tree: LabelTree
    values: tuple[tuple[int, frozenset[int]], ...] = ()

    def __post_init__(self) -> None:
        if len(dict(self.values)) < len(self.values):
            raise LabelError(f"scheme {self.name!r} gives one integer two meanings: {self.values}.")
        for value, leaves in self.values:
            if not leaves or not leaves <= self.tree.all_leaves:
                raise LabelError(
                    f"scheme {self.name!r}: value {value} means {sorted(leaves)}; expected some of "
                    f"the leaf numbers 0 to {len(self.tree) - 1}."
                )

    @property
    def label_values(self) -> Mapping[int, frozenset[int]]:
        """The values as a mapping."""
        return dict(self.values)

    def decides(self, group: frozenset[int]) -> bool:
        """Say whether some value of this scheme means "inside this group".

        Only then does the scheme name the group, and only then may a Dice term run over it.
        """
        return any(leaves <= group for _, leaves in self.values)

    def unknown(self, label: np.ndarray) -> tuple[int, ...]:
        """Return values of a label array that the scheme does not name, sorted."""
        return tuple(sorted(set(np.unique(label).tolist()) - set(self.label_values)))

    def without(self, absent: frozenset[int], name: str) -> Scheme:
        """Make the scheme for an image that is known to hold none of the leaves in `absent`.

        Every value's set loses them; a negative image label thus supervises every voxel. A value
        that means nothing else is no longer named: a label file that holds it contradicts the
        image label, and `unknown` finds it. For the scheme without values the result has one, 0.

        Raises:
            LabelError: no leaf would be left.
        """
        values = self.values or ((0, self.tree.all_leaves),)
        if all(leaves <= absent for _, leaves in values):
            raise LabelError(
                f"scheme {self.name!r}: the image label says that {self._names(absent)} are "
                "absent, and no other class is left for any voxel. Correct the image label."
            )
        return Scheme(name, self.tree, tuple((v, s - absent) for v, s in values if s - absent))

    def _names(self, leaves: frozenset[int]) -> list[str]:
        return [self.tree.leaf_names[i] for i in sorted(leaves)]
