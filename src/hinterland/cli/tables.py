"""Figures as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table


def figures_table(figures: Mapping[str, Mapping[str, float]], title: str) -> Table:
    """Make a table of a run's figures: question/class -> metric -> mean over cases."""
    from hinterland.evaluation.metrics.registry import METRICS

    metrics = [m for m in METRICS.names() if any(m in row for row in figures.values())]
    table = empty_table(title, "question / class", metrics)
    for name, row in figures.items():
        table.add_row(name, *(_figure(m, row.get(m)) for m in metrics))
    return table


def summary_table(summary: pd.DataFrame, title: str, metrics: list[str]) -> Table:
    """Show what `summarise` made of a table: mean over cases, a line per question and class."""
    table = empty_table(title, "question / class", metrics)
    table.add_column("cases", justify="right")
    for (question, name), rows in summary.groupby(["coarsening", "class"], sort=False):
        means = dict(zip(rows["metric"], rows["mean"], strict=True))
        low, high = int(rows["cases"].min()), int(rows["cases"].max())
        table.add_row(
            f"{question} / {name}",
            *(_figure(m, means.get(m)) for m in metrics),
            str(low) if low == high else f"{low}-{high}",
        )
    return table


def plain_table(frame: pd.DataFrame, title: str) -> Table:
    """Show a small data frame as it is, numbers to four digits."""
    table = empty_table(title, str(frame.columns[0]), [str(c) for c in frame.columns[1:]])
    for row in frame.itertuples(index=False):
        cells = (f"{v:.4g}" if isinstance(v, float) else str(v) for v in row)
        table.add_row(*cells)
    return table


def empty_table(title: str, first: str, others: list[str]) -> Table:
    """Make a table without rows: its first column is of words, the others are of figures."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _figure(metric: str, value: float | None) -> str:
    """Write a value with one digit more than in print."""
    from hinterland.evaluation.metrics.registry import METRICS

    if value is None or value != value:
        return "-"
    return f"{value:.{METRICS.get(metric).decimals + 1}f}"
