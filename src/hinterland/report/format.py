"""How numbers are printed: one rule a metric, for the page, the tables and the terminal."""

from __future__ import annotations

from math import isfinite

from hinterland.evaluation.metrics.registry import METRICS

MINUS = "\N{MINUS SIGN}"
MISSING = "\N{EN DASH}"


def number(value: float | None, metric: str) -> str:
    """Format a value: `.512` for shares, `12.3` for millimetres, an en dash where there is none."""
    return _fixed(value, METRICS.get(metric).decimals)


def signed(value: float | None, metric: str) -> str:
    """Format a difference, always with its sign."""
    if value is None or not isfinite(value):
        return MISSING
    text = _fixed(abs(value), METRICS.get(metric).decimals)
    if not text.strip("0."):
        return text
    return (MINUS if value < 0 else "+") + text


def interval(low: float | None, high: float | None, metric: str, sign: bool = False) -> str:
    """Format an interval, `[.401, .623]`, or nothing where there is no interval.

    Args:
        low: lower limit.
        high: upper limit.
        metric: its name, for the decimals.
        sign: whether positive numbers have a plus.

    Returns:
        The text.
    """
    if low is None or high is None or not (isfinite(low) and isfinite(high)):
        return ""
    show = signed if sign else number
    return f"[{show(low, metric)}, {show(high, metric)}]"


def p_value(value: float | None) -> str:
    """Format a p-value: `.012`, `< .001`, or an en dash."""
    if value is None or not isfinite(value):
        return MISSING
    if value < 0.001:
        return "< .001"
    return _fixed(value, 3 if value < 0.1 else 2)


def effect(value: float | None) -> str:
    """Format an effect size in -1 .. 1 with two decimals and its sign."""
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
