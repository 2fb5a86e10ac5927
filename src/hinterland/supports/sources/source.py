"""What every source of support labels offers, and the licence under which its weights stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from hinterland.supports.structures import Structure
from hinterland.types import Case, Dataset

UNKNOWN = int(np.iinfo(np.uint16).max)
"""Index of voxels that a source did not look at."""


@dataclass(frozen=True)
class Licence:
    """The terms under which weights may be used. `text` is shown before they are."""

    name: str
    text: str
    url: str
    commercial: bool | None = None

    def __str__(self) -> str:
        use = {True: "commercial use permitted", False: "NON-COMMERCIAL USE ONLY", None: ""}
        tail = f" ({use[self.commercial]})" if use[self.commercial] else ""
        return f"{self.name}{tail}\n{self.text}\n{self.url}"


@dataclass(frozen=True)
class Support:
    """What a source sees in one case.

    Attributes:
        index: (z, y, x) uint16, 0 nothing, s the s-th of the structures asked for, `UNKNOWN` not
            looked at.
        affine: (4, 4), voxel (x, y, z) -> mm.
        provided: the nodes that the source could see here; of another node it says nothing, neither
            that it is there nor that it is not.
        overlaps: node -> voxels that an earlier structure took from it.
    """

    index: np.ndarray
    affine: np.ndarray
    provided: frozenset[str]
    overlaps: Mapping[str, int]


class Source(Protocol):
    """Where support labels come from."""

    @property
    def names(self) -> tuple[str, ...]:
        """The structures it can give, by its own names."""

    @property
    def licence(self) -> Licence | None:
        """The licence of foreign weights; None where there are none."""

    @property
    def default(self) -> tuple[str, ...] | None:
        """The patterns of `choose` to take where the user names none; None: the user must."""

    def check(
        self, dataset: Dataset, cases: Sequence[Case], structures: Sequence[Structure]
    ) -> None:
        """Refuse what cannot succeed, before anything is computed.

        Args:
            dataset: the cases' data set.
            cases: that are to be segmented.
            structures: that are asked for.

        Raises:
            HinterlandError: the source cannot give them, or not for these cases.
        """

    def segment(self, case: Case, structures: Sequence[Structure]) -> Support:
        """Return the structures that are seen in one case.

        Raises:
            HinterlandError: the case cannot be read or segmented.
        """

    def stamp(self, case: Case) -> str:
        """Return a text that changes when the source's answer to this case may change.

        It stands for the mask files, say; "" if the answer cannot change.
        """

    def provenance(self) -> dict[str, Any]:
        """Return kind, versions, model and settings: what makes its labels what they are."""

    def close(self) -> None:
        """Let go of processes and files."""


def of_integers(
    array: np.ndarray,
    affine: np.ndarray,
    values: Mapping[str, Sequence[int]],
    structures: Sequence[Structure],
) -> Support:
    """Turn a label array into a support volume.

    A region may share integers with others: the structure that stands first takes the voxel.

    Args:
        array: integers (z, y, x).
        affine: voxel (x, y, z) -> mm.
        values: the source's name -> integers.
        structures: that are asked for.

    Returns:
        The support.
    """
    masks = (np.isin(array, [v for name in s.sources for v in values[name]]) for s in structures)
    return of_masks(array.shape, affine, zip(structures, masks, strict=True))


def of_masks(
    shape: tuple[int, ...], affine: np.ndarray, masks: Iterable[tuple[Structure, np.ndarray | None]]
) -> Support:
    """Combine masks of single structures into one support volume.

    The first structure that holds a voxel takes it.

    Args:
        shape: of the volume (z, y, x).
        affine: of the volume.
        masks: (structure, mask (z, y, x) bool) in the order of the structures; None instead of a
            mask
            says that the source does not give that structure.

    Returns:
        The support.
    """
    index = np.zeros(shape, np.uint16)
    provided, overlaps = [], {}
    for number, (structure, mask) in enumerate(masks, start=1):
        if mask is None:
            continue
        provided.append(structure.node)
        free = index == 0
        overlaps[structure.node] = int(np.count_nonzero(mask & ~free))
        index[mask & free] = number
    return Support(index, affine, frozenset(provided), overlaps)
