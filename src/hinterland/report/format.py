"""How numbers are printed: one rule a metric, for the page, the tables and the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

MINUS = "\N{MINUS SIGN}"
MISSING = "\N{EN DASH}"


@dataclass(frozen=True)
class MetricStyle:
    """A metric's printed name, unit ("distance" = the table's), decimals and direction."""

    label: str
    unit: str = ""
    decimals: int = 3
    lower: bool | None = False

    def axis(self, unit: str) -> str:
        """The name with its unit, for an axis."""
        shown = self.shown_unit(unit)
        return f"{self.label} ({shown})" if shown else self.label

    def shown_unit(self, unit: str) -> str:
        """The unit in print, given the table's unit of distance."""
        return unit if self.unit == "distance" else self.unit


_STYLES = {
    "dice": MetricStyle("Dice"),
    "jaccard": MetricStyle("Jaccard"),
    "hd95": MetricStyle("HD95", "distance", 1, True),
    "assd": MetricStyle("ASSD", "distance", 2, True),
    "nsd": MetricStyle("NSD"),
    "volume_error_ml": MetricStyle("Volume error", "mL", 2, None),
    "relative_volume_difference": MetricStyle("Relative volume difference", "", 2, None),
    "lesion_sensitivity": MetricStyle("Lesion sensitivity"),
    "lesion_precision": MetricStyle("Lesion precision"),
    "lesion_f1": MetricStyle("Lesion F1"),
    "lesion_false_positives": MetricStyle("False-positive lesions", "per case", 2, True),
    "lesion_dice": MetricStyle("Dice of matched lesions"),
}


def style(metric: str) -> MetricStyle:
    """The style of a metric; unknown ones keep their name and three decimals."""
    return _STYLES.get(metric, MetricStyle(metric.replace("_", " "), lower=None))


def number(value: float | None, metric: str) -> str:
    """A value: `.512` for shares, `12.3` for millimetres, an en dash where there is none."""
    return _fixed(value, style(metric).decimals)


def signed(value: float | None, metric: str) -> str:
    """A difference, always with its sign."""
    if value is None or not isfinite(value):
        return MISSING
    text = _fixed(abs(value), style(metric).decimals)
    if not text.strip("0."):
        return text
    return (MINUS if value < 0 else "+") + text


def interval(low: float | None, high: float | None, metric: str, sign: bool = False) -> str:
    """`[.401, .623]`, or nothing where there is no interval."""
    if low is None or high is None or not (isfinite(low) and isfinite(high)):
        return ""
    show = signed if sign else number
    return f"[{show(low, metric)}, {show(high, metric)}]"


def p_value(value: float | None) -> str:
    """`.012`, `< .001`, or an en dash."""
    if value is None or not isfinite(value):
        return MISSING
    if value < 0.001:
        return "< .001"
    return _fixed(value, 3 if value < 0.1 else 2)


def effect(value: float | None) -> str:
    """An effect size in -1 .. 1 with two decimals and its sign."""
    if value is None or not isfinite(value):
        return MISSING
    text = _fixed(abs(value), 2)
    return text if not text.strip("0.") else (MINUS if value < 0 else "+") + text


def _fixed(value: float | None, decimals: int) -> str:
    if value is None or not isfinite(value):
        return MISSING
    text = f"{abs(value):.{decimals}f}"
    if text.startswith("0.") and decimals >= 2:
        text = text[1:]
    negative = value < 0 and bool(text.strip("0."))
    return (MINUS if negative else "") + text
