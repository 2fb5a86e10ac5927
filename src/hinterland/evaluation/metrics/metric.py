"""A metric: all that tables, reports, comparisons and benchmarks know of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from hinterland.evaluation.metrics.empty import Worth
from hinterland.evaluation.metrics.pair import MaskPair
from hinterland.types import HinterlandError

COLUMNS = (
    "case", "class", "coarsening", "fold", "method", "seed", "group", "domain", "empty", "unit",
    "definition", "decided", "convention", "reference_ml", "prediction_ml", "reference_voxels",
    "prediction_voxels",
)  # fmt: skip
"""The columns of a metric table that are no metrics; no metric may take their names."""


class Shown(IntEnum):
    """Where a metric appears; each level includes those before it."""

    COUNT = 0  # where it is asked for, as a column of the table alone: no statistics
    REQUEST = 1  # where it is asked for, in tables and reports
    TABLE = 2  # in every table
    SUMMARY = 3  # in the summary of a run and in a terminal
    COMPARED = 4  # tested between methods where nothing else is asked for
    HEADLINE = 5  # at the top of a report


@dataclass(frozen=True)
class Metric:
    """A number for two masks of one class.

    Args:
        name: column of the table, an identifier.
        label: name in print.
        compute: the metric of a `MaskPair`; called where `both_empty` and `one_empty` do not apply.
        unit: in print; "distance" stands for mm, or voxels where the spacing is unknown.
        direction: which values are better.
        decimals: digits behind the point, in print.
        both_empty: worth of two empty masks under the policy `penalty`; None: computed.
        one_empty: likewise of one empty mask; "diagonal" is the image diagonal in mm.
        shown: where it appears.
        family: by which several metrics are asked for at once.
        rope: the largest difference that makes none in practice, in the metric's unit; None: the
            Bayesian test is not made.

    Example:
        >>> from hinterland.evaluation.metrics.registry import METRICS
        >>> METRICS.get("hd95").axis("mm")
        'HD95 (mm)'
    """

    name: str
    label: str
    compute: Callable[[MaskPair], float]
    unit: str = ""
    direction: Literal["higher", "lower", "neither"] = "higher"
    decimals: int = 3
    both_empty: float | None = None
    one_empty: Worth | None = None
    shown: Shown = Shown.REQUEST
    family: str = ""
    rope: float | None = None

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or self.name in COLUMNS:
            raise HinterlandError(
                f"a metric is called {self.name!r}; expected an identifier, such as `my_metric`, "
                f"that is no other column of a metric table ({', '.join(COLUMNS)})."
            )

    def value(self, pair: MaskPair) -> float:
        """Return the metric of two masks, or its worth where one is empty."""
        empty = not pair.counts.prediction, not pair.counts.reference
        if any(empty):
            worth = pair.policy.worth(self.name, self.both_empty, self.one_empty, *empty)
            if worth is not None:
                return pair.diagonal if worth == "diagonal" else float(worth)
        return float(self.compute(pair))

    def axis(self, unit: str) -> str:
        """Return the name with its unit, for an axis or a heading."""
        shown = self.shown_unit(unit)
        return f"{self.label} ({shown})" if shown else self.label

    def shown_unit(self, unit: str) -> str:
        """Return the unit in print, given the table's unit of distance."""
        return unit if self.unit == "distance" else self.unit
