"""One table of leaf sets for a whole data set, so that patches of all its schemes can be mixed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hinterland.errors import LabelError
from hinterland.labels.coarsening import Coarsening
from hinterland.labels.scheme import Scheme
from hinterland.labels.tree import LabelTree


@dataclass(frozen=True)
class LabelSetTable:
    """The label sets of a data set; annotations hold their numbers.

    Label set 0 is always "any leaf" (unlabelled, ignored, padding). The others belong to a scheme:
    two schemes that both say "background" own one each, because what else a scheme can say decides
    which Dice terms may run on its voxels. Because the label sets have that knowledge, cut-mix of
    two schemes needs nothing but to cut and paste their numbers.
    """

    tree: LabelTree
    sets: tuple[frozenset[int], ...]
    schemes: tuple[str, ...]

    @classmethod
    def of(cls, tree: LabelTree, schemes: Iterable[Scheme]) -> LabelSetTable:
        """Return label set 0, then one per value of each scheme, in order; names must differ.

        Raises:
            LabelError: two schemes have one name.
        """
        schemes = tuple(schemes)
        names = [s.name for s in schemes]
        if len(set(names)) < len(names):
            raise LabelError(f"two annotation schemes have the same name: {names}; rename one.")
        sets, owners = [tree.all_leaves], [""]
        for scheme in schemes:
            for _, leaves in scheme.values:
                sets.append(leaves)
                owners.append(scheme.name)
        return cls(tree, tuple(sets), tuple(owners))

    def __len__(self) -> int:
        return len(self.sets)

    def label_set_ids(self, scheme: Scheme) -> dict[int, int]:
        """Return integer in the file -> label set, for a scheme of this table.

        Raises:
            LabelError: the table has no such scheme.
        """
        if not scheme.values:
            return {}
        if scheme.name not in self.schemes:
            known = sorted(set(self.schemes) - {""})
            raise LabelError(f"scheme {scheme.name!r} is not in the table, which has {known}.")
        start = self.schemes.index(scheme.name)
        return {value: start + i for i, (value, _) in enumerate(scheme.values)}

    def with_groups(self, coarsening: Coarsening, scheme: str) -> tuple[LabelSetTable, int]:
        """Return the table with a further label set per group, and the number of the first.

        Pseudo-labels are written as `first + argmax(probabilities)`. `scheme` names their owner.

        Raises:
            LabelError: the table has label sets of that name, whose meaning new ones would change.
        """
        if scheme in self.schemes:
            raise LabelError(
                f"the table already has a scheme {scheme!r}; give the new label sets another."
            )
        table = LabelSetTable(
            self.tree,
            self.sets + coarsening.groups,
            self.schemes + (scheme,) * len(coarsening),
        )
        return table, len(self)

    @cached_property
    def matrix(self) -> np.ndarray:
        """Which leaves each label set holds (label sets, leaves), bool."""
        m = np.zeros((len(self.sets), len(self.tree)), dtype=bool)
        for i, leaves in enumerate(self.sets):
            m[i, sorted(leaves)] = True
        m.setflags(write=False)
        return m

    def allowed(self, coarsening: Coarsening) -> np.ndarray:
        """Return (label sets, groups) bool: the groups that a voxel may belong to."""
        return np.asarray((self.matrix.astype(int) @ coarsening.matrix.T.astype(int)) > 0)

    def member(self, coarsening: Coarsening) -> np.ndarray:
        """Return (label sets, groups) bool: the label set lies inside the group."""
        outside = self.matrix.astype(int) @ (~coarsening.matrix.T).astype(int)
        return np.asarray(outside == 0)

    def decided(self, coarsening: Coarsening) -> np.ndarray:
        """Return (label sets, groups) bool: decided, by a scheme that names the group.

        A label set decides a group if it lies inside or outside of it, and its scheme has a value
        that lies inside (otherwise the scheme could never have said "yes").
        """
        member = self.member(coarsening)
        decided = member | ~self.allowed(coarsening)
        names = np.zeros_like(decided)
        for scheme in set(self.schemes):
            owned = np.array([s == scheme for s in self.schemes])
            names[owned] = member[owned].any(axis=0)
        return np.asarray(decided & names)
