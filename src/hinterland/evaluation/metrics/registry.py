"""All metrics by name: the one place that knows them, open to those of other packages.

A metric of one's own is one file and one line:

```python
from hinterland.evaluation.metrics.metric import Metric
from hinterland.evaluation.metrics.registry import register

register(Metric("overlap", "Overlap", lambda p: p.counts.both / min(p.counts.prediction, ...)))
```

or, without any call, an entry point of the group `hinterland.metrics`. It is then asked for by name
(`hinterland evaluate --metric overlap`), and appears in tables, reports and comparisons.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hinterland.evaluation.metrics.cldice import cl_dice
from hinterland.evaluation.metrics.metric import Metric, Shown
from hinterland.types import HinterlandError
from hinterland.types.registry import Registry

if TYPE_CHECKING:
    import pandas as pd

LESIONS = "lesions"
BRATS = "brats"
_NAN = float("nan")


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else _NAN


_OWN = (
    Metric("dice", "Dice", lambda p: p.counts.dice,
           both_empty=1.0, one_empty=0.0, shown=Shown.HEADLINE, rope=0.01),
    Metric("jaccard", "Jaccard", lambda p: p.counts.jaccard,
           both_empty=1.0, one_empty=0.0, shown=Shown.SUMMARY, rope=0.01),
    Metric("hd95", "HD95", lambda p: p.distances.hausdorff(95.0, p.settings.hausdorff),
           unit="distance", direction="lower", decimals=1,
           both_empty=0.0, one_empty="diagonal", shown=Shown.HEADLINE, rope=1.0),
    Metric("assd", "ASSD", lambda p: p.distances.average(p.settings.average),
           unit="distance", direction="lower", decimals=2,
           both_empty=0.0, one_empty="diagonal", shown=Shown.COMPARED, rope=0.1),
    Metric("nsd", "NSD", lambda p: p.distances.within(p.tolerance),
           both_empty=1.0, one_empty=0.0, shown=Shown.HEADLINE, rope=0.01),
    Metric("volume_error_ml", "Volume error",
           lambda p: (p.counts.prediction - p.counts.reference) * p.voxel,
           unit="mL", direction="neither", decimals=2, shown=Shown.TABLE),
    Metric("relative_volume_difference", "Relative volume difference",
           lambda p: p.counts.relative_volume_difference,
           unit="%", direction="neither", decimals=2, shown=Shown.TABLE),
    Metric("lesion_sensitivity", "Lesion sensitivity",
           lambda p: _ratio(p.lesions.true_positives, p.lesions.reference.size), family=LESIONS),
    Metric("lesion_precision", "Lesion precision",
           lambda p: _ratio(p.lesions.true_positives, p.lesions.prediction.size), family=LESIONS),
    Metric("lesion_f1", "Lesion F1",
           lambda p: _ratio(2 * p.lesions.true_positives,
                            p.lesions.reference.size + p.lesions.prediction.size), family=LESIONS),
    Metric("lesion_false_positives", "False-positive lesions",
           lambda p: p.lesions.false_positives,
           unit="per case", direction="lower", decimals=2, family=LESIONS),
    Metric("lesion_dice", "Dice of matched lesions",
           lambda p: p.lesions.mean_dice, family=LESIONS),
    Metric("lesions_reference", "Lesions in the reference", lambda p: p.lesions.reference.size,
           direction="neither", decimals=0, shown=Shown.COUNT, family=LESIONS),
    Metric("lesions_prediction", "Lesions in the prediction", lambda p: p.lesions.prediction.size,
           direction="neither", decimals=0, shown=Shown.COUNT, family=LESIONS),
    Metric("cldice", "clDice", lambda p: cl_dice(p.prediction, p.reference),
           both_empty=1.0, one_empty=0.0),
    Metric("brats_dice", "Lesion-wise Dice (BraTS)", lambda p: p.brats.mean_dice, family=BRATS),
    Metric("brats_hd95", "Lesion-wise HD95 (BraTS)", lambda p: p.brats.mean_hd95,
           unit="distance", direction="lower", decimals=1, family=BRATS),
)  # fmt: skip

METRICS: Registry[Metric] = Registry("metric", "hinterland.metrics", {m.name: m for m in _OWN})


def register(metric: Metric) -> Metric:
    """Add a metric and return it.

    Raises:
        HinterlandError: its name is taken.
    """
    return METRICS.register(metric.name, metric)


def metrics_shown(level: Shown) -> tuple[str, ...]:
    """Return the names of the metrics that appear at a level, in the order of the registry.

    Example:
        >>> metrics_shown(Shown.HEADLINE)
        ('dice', 'hd95', 'nsd')
    """
    return tuple(n for n in METRICS.names() if METRICS.get(n).shown >= level)


def asked_metrics(names: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the metrics of every table and those asked for, by name or by family.

    Raises:
        HinterlandError: a name that is neither a metric nor a family.
    """
    wanted = set(metrics_shown(Shown.TABLE))
    known = {n: METRICS.get(n).family for n in METRICS.names()}
    for name in names:
        found = [n for n, family in known.items() if name in (n, family)]
        if not found:
            families = ", ".join(sorted({f for f in known.values() if f}))
            raise HinterlandError(
                f"there is no metric {name!r}; expected one of {', '.join(known)}, or a family of "
                f"them ({families})."
            )
        wanted.update(found)
    return tuple(n for n in known if n in wanted)


def metric_columns(table: pd.DataFrame, level: Shown = Shown.COUNT) -> list[str]:
    """Return the metric columns of a table that appear at a level, in the registry's order."""
    return [n for n in metrics_shown(level) if n in table.columns]


def better(metric: str, difference: float) -> bool | None:
    """Return whether a difference to a baseline is an improvement; None where it is neither."""
    direction = METRICS.get(metric).direction
    if direction == "neither" or difference != difference or difference == 0:
        return None
    return (difference < 0) == (direction == "lower")
