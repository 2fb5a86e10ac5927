"""Add a metric: the overlap coefficient |P and R| / min(|P|, |R|)."""

from __future__ import annotations

from hinterland.evaluation.metrics.metric import Metric, Shown
from hinterland.evaluation.metrics.pair import MaskPair


def overlap_coefficient(pair: MaskPair) -> float:
    """Return the share of the smaller mask that lies inside the other one."""
    both = (pair.prediction & pair.reference).sum()
    return float(both / min(pair.prediction.sum(), pair.reference.sum()))


METRIC = Metric(
    "overlap_coefficient", "Overlap coefficient", overlap_coefficient,
    both_empty=1.0, one_empty=0.0, shown=Shown.COMPARED,
)  # fmt: skip
