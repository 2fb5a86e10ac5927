"""A metric of another package: the largest distance instead of the 95th percentile."""

from hinterland.evaluation.metrics.metric import Metric

METRIC = Metric(
    "hd_largest",
    "Largest distance",
    lambda pair: pair.distances.hausdorff(100),
    unit="distance",
    direction="lower",
    decimals=1,
    both_empty=0.0,
    one_empty="diagonal",
)
