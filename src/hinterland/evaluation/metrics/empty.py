"""What a metric is worth where a mask is empty: one table a policy.

| reference / prediction | `penalty` | `drop` | `ssl4mis` |
| --- | --- | --- | --- |
| both empty | Dice 1, NSD 1, distances 0 | left out | all 0 |
| one empty | Dice 0, NSD 0, distances = diagonal | Dice 0, NSD 0, distances left out | all 0 |

"Left out" is NaN: `summarise` counts how many cases each mean rests on. The image diagonal is
sqrt(sum_a (n_a s_a)^2) over the axes of the image (in-plane for a 2D image), n the size and s the
spacing. Volume errors are defined without a policy; the relative volume difference is NaN where
the reference is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, nan, sqrt
from typing import Literal

from hinterland.types import HinterlandError

DIAGONAL: Literal["diagonal"] = "diagonal"


@dataclass(frozen=True)
class Cell:
    """Values of overlap metrics (Dice, Jaccard), NSD and distances in one row of the table.

    `hausdorff` where it differs from `distance`, the value of surface distances.
    """

    overlap: float
    nsd: float
    distance: float | Literal["diagonal"]
    hausdorff: float | None = None

    def distances(self, diagonal: float) -> tuple[float, float]:
        """Hausdorff and surface distance, for an image with this diagonal."""
        mean = diagonal if self.distance == DIAGONAL else float(self.distance)
        return mean if self.hausdorff is None else self.hausdorff, mean


@dataclass(frozen=True)
class EmptyPolicy:
    """The table of one policy. `missed`: only the prediction is empty; `spurious`: only the
    reference is."""

    name: str
    both: Cell
    missed: Cell
    spurious: Cell

    def cell(self, prediction_empty: bool, reference_empty: bool) -> Cell | None:
        """The row that applies, or None where neither mask is empty."""
        if prediction_empty and reference_empty:
            return self.both
        if prediction_empty:
            return self.missed
        return self.spurious if reference_empty else None


_ZERO = Cell(0.0, 0.0, 0.0)
_CHARGED = Cell(0.0, 0.0, DIAGONAL)
_UNMEASURED = Cell(0.0, 0.0, nan)
_LEFT_OUT = Cell(nan, nan, nan)

EMPTY_POLICIES = {
    "penalty": EmptyPolicy("penalty", Cell(1.0, 1.0, 0.0), _CHARGED, _CHARGED),
    "drop": EmptyPolicy("drop", _LEFT_OUT, _UNMEASURED, _UNMEASURED),
    "ssl4mis": EmptyPolicy("ssl4mis", _ZERO, _ZERO, _ZERO),
}

# What two libraries do by default; for the convention table only, not offered for own results.
# medpy refuses distances of empty masks and divides by zero for the Dice of two of them.
# MONAI takes a quantile of infinite distances, which is NaN, and its mean then skips the case.
PEER_POLICIES = {
    "medpy": EmptyPolicy("medpy", _LEFT_OUT, _UNMEASURED, _UNMEASURED),
    "monai": EmptyPolicy("monai", _LEFT_OUT, Cell(0.0, 0.0, inf, nan), Cell(nan, 0.0, inf, nan)),
}


def empty_policy(name: str) -> EmptyPolicy:
    """A policy by name; HinterlandError for an unknown one."""
    table = EMPTY_POLICIES | PEER_POLICIES
    if name not in table:
        raise HinterlandError(
            f"there is no empty-mask policy {name!r}; choose one of {', '.join(EMPTY_POLICIES)}."
        )
    return table[name]


def diagonal(shape: Sequence[int], spacing: Sequence[float]) -> float:
    """Length of the image diagonal, in the unit of the spacing."""
    return sqrt(sum((n * s) ** 2 for n, s in zip(shape, spacing, strict=True)))
