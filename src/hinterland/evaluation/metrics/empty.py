"""What a metric is worth where a mask is empty: one table a policy.

| reference / prediction | `penalty` | `drop` | `ssl4mis` |
| --- | --- | --- | --- |
| both empty | Dice 1, NSD 1, distances 0 | left out | all 0 |
| one empty | Dice 0, NSD 0, distances = diagonal | Dice 0, NSD 0, distances left out | all 0 |

The column `penalty` stands in the metrics themselves (`Metric.both_empty`, `one_empty`); the other
policies say where they depart from it. "Left out" is NaN: `summarise` counts how many cases each
mean rests on. The image diagonal is sqrt(sum_a (n_a s_a)^2) over the axes of the image (in-plane
for a 2D image), n the size and s the spacing. Metrics that say nothing of empty masks, such as
volume errors, are computed as ever, whatever the policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, nan, sqrt
from typing import Literal

from hinterland.types import HinterlandError

Worth = float | Literal["diagonal"]


@dataclass(frozen=True)
class EmptyPolicy:
    """Where a policy departs from what the metrics say of empty masks; None: nowhere.

    Args:
        both: worth of every metric of two empty masks.
        one: worth of every metric of one empty mask.
        distance: worth of those metrics that would be the image diagonal.
        exceptions: metric -> worth of a miss (the prediction is empty), worth of a spurious mask
            (the reference is).
    """

    name: str
    both: float | None = None
    one: float | None = None
    distance: float | None = None
    exceptions: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def worth(
        self,
        metric: str,
        both_empty: float | None,
        one_empty: Worth | None,
        prediction_empty: bool,
        reference_empty: bool,
    ) -> Worth | None:
        """Return what a metric is worth where a mask is empty; None where it is to be computed.

        Args:
            metric: its name.
            both_empty: what the metric itself says of two empty masks.
            one_empty: what the metric itself says of one empty mask.
            prediction_empty: whether the prediction is empty.
            reference_empty: whether the reference is empty.

        Returns:
            A number, a word for the worst value, or None.
        """
        if prediction_empty and reference_empty:
            return both_empty if both_empty is None or self.both is None else self.both
        if one_empty is None:
            return None
        if metric in self.exceptions:
            return self.exceptions[metric][0 if prediction_empty else 1]
        if self.one is not None:
            return self.one
        return self.distance if one_empty == "diagonal" and self.distance is not None else one_empty


EMPTY_POLICIES = {
    "penalty": EmptyPolicy("penalty"),
    "drop": EmptyPolicy("drop", both=nan, distance=nan),
    "ssl4mis": EmptyPolicy("ssl4mis", both=0.0, one=0.0),
}

# What two libraries do by default; for the convention table only, not offered for own results.
# medpy refuses distances of empty masks and divides by zero for the Dice of two of them.
# MONAI takes a quantile of infinite distances, which is NaN, and its mean then skips the case.
PEER_POLICIES = {
    "medpy": EmptyPolicy("medpy", both=nan, distance=nan),
    "monai": EmptyPolicy("monai", both=nan, exceptions={
        "dice": (0.0, nan), "jaccard": (0.0, nan), "hd95": (nan, nan), "assd": (inf, inf),
    }),
}  # fmt: skip


def empty_policy(name: str) -> EmptyPolicy:
    """Return a policy by name.

    Raises:
        HinterlandError: there is no such policy.
    """
    table = EMPTY_POLICIES | PEER_POLICIES
    if name not in table:
        raise HinterlandError(
            f"there is no empty-mask policy {name!r}; choose one of {', '.join(EMPTY_POLICIES)}."
        )
    return table[name]


def diagonal(shape: Sequence[int], spacing: Sequence[float]) -> float:
    """Return the length of the image diagonal, in the unit of the spacing."""
    return sqrt(sum((n * s) ** 2 for n, s in zip(shape, spacing, strict=True)))
