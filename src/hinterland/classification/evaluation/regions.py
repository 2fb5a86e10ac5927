"""Compare the masks that explain decisions with reference masks: how large, where, found or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hinterland.classification.dataset.answers import Target, holds
from hinterland.classification.dataset.cases import Units
from hinterland.classification.record import ClassifierRecord
from hinterland.classification.scores.subgroups import place_of
from hinterland.data.io.volume import read_header, read_label
from hinterland.evaluation.metrics.lesions import match_lesions
from hinterland.evaluation.metrics.overlap import millilitres
from hinterland.types import Case


@dataclass
class Regions:
    """Reference masks of the judged classes, by class index and case.

    Attributes:
        size: in mL, or voxels where the spacing is not known.
        place: see `place_of`.
        found: whether some component of the predicted mask matches a lesion.
    """

    record: ClassifierRecord
    targets: Mapping[str, Target]
    physical: bool
    size: dict[int, dict[str, float]] = field(default_factory=dict)
    place: dict[int, dict[str, str]] = field(default_factory=dict)
    found: dict[int, dict[str, bool]] = field(default_factory=dict)

    def compare(self, case: Case, masks: Mapping[int, np.ndarray]) -> None:
        """Compare the masks of one case with its label file, if it has one."""
        if case.label is None:
            return
        label = read_label(case.label).array[0]
        spacing = read_header(case.label).spacing if self.physical else (1.0, 1.0, 1.0)
        for index in self.record.task.scored:
            if holds(self.targets[case.name], index) != 1:
                continue
            reference = self._reference(case, label, index)
            voxels = int(np.count_nonzero(reference))
            volume = voxels * millilitres(spacing) if self.physical else float(voxels)
            self.size.setdefault(index, {})[case.name] = volume
            self.place.setdefault(index, {})[case.name] = place_of(reference)
            if index in masks:
                match = match_lesions(masks[index], reference, spacing)
                self.found.setdefault(index, {})[case.name] = bool(match.found.any())

    def sizes(self, index: int, units: Units) -> dict[str, float]:
        """Look up the size of each unit's largest mask of a class, over all its cases."""
        return {u: self.size[index][n] for u, n in self._largest(index, units).items()}

    def places(self, index: int, units: Units) -> dict[str, str]:
        """Look up where each unit's largest mask of a class lies."""
        largest = self._largest(index, units).items()
        return {u: self.place[index][n] for u, n in largest if self.place[index][n]}

    def located(self, index: int, units: Units, names: list[str]) -> np.ndarray | None:
        """Say whether each unit's region was found, in any of its cases.

        Args:
            index: of the class.
            units: what is judged.
            names: of the units, in order.

        Returns:
            float (units,): 1, 0, or NaN for units without a reference mask; None where no unit has
            one, or the classifier has no masks.
        """
        found = self.found.get(index)
        if not found:
            return None
        members = [[n for n in units.members[u] if n in found] for u in names]
        return np.array([float(any(found[n] for n in m)) if m else np.nan for m in members])

    def _largest(self, index: int, units: Units) -> dict[str, str]:
        sizes = self.size.get(index, {})
        known = {u: [n for n in members if n in sizes] for u, members in units.members.items()}
        return {u: max(names, key=sizes.__getitem__) for u, names in known.items() if names}

    def _reference(self, case: Case, label: np.ndarray, index: int) -> np.ndarray:
        """Find the voxels of the class's node; of the target's foreground where it has no node."""
        spec, node = self.record.spec, self.record.task.nodes[index]
        target = spec.target
        wanted = (
            frozenset().union(*(target.groups[i] for i in target.foreground))
            if node is None else spec.tree.leaves_under(node)
        )  # fmt: skip
        values = spec.scheme(case.scheme).label_values
        return np.isin(label, [v for v, leaves in values.items() if leaves <= wanted])
