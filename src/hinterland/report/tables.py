"""The result tables as Markdown, LaTeX and CSV, to be put into a paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd

from hinterland.data.io.csv_text import csv_text
from hinterland.evaluation.metrics.registry import METRICS
from hinterland.report.format import (
    MINUS,
    MISSING,
    effect,
    interval,
    number,
    p_value,
    signed,
)
from hinterland.report.results import Result

_HEAD = (
    "Class",
    "Metric",
    "Method",
    "Mean",
    "95 % CI",
    "Difference",
    "95 % CI",
    "p",
    "Effect",
    "n",
)
_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    MINUS: r"$-$", MISSING: "--", "<": r"$<$", "\N{MIDDLE DOT}": r"\textperiodcentered{}",
}  # fmt: skip


def markdown_table(results: Sequence[Result], unit: str) -> str:
    """Write a Markdown table, one line per class, metric and method."""
    lines = [_HEAD, *(_cells(r, unit) for r in results)]
    text = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    widths = [max(3, *(len(line[i]) for line in text)) for i in range(len(_HEAD))]
    rows = ["| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
            for line in text]  # fmt: skip
    rule = [("-" * w if i < 3 else "-" * (w - 1) + ":") for i, w in enumerate(widths)]
    return "\n".join([rows[0], "| " + " | ".join(rule) + " |", *rows[1:]]) + "\n"


def latex_table(results: Sequence[Result], unit: str, caption: str) -> str:
    r"""Write a booktabs table (needs \usepackage{booktabs}); classes are set apart by a rule.

    Args:
        results: a row each.
        unit: of distances.
        caption: of the table.

    Returns:
        LaTeX.
    """
    rows: list[list[str]] = []
    before: Result | None = None
    for r in results:
        cells = [escape_latex(cell) for cell in _cells(r, unit)]
        if before is not None and r.group != before.group:
            cells[0] = rf"\midrule {cells[0]}"
        elif before is not None:
            cells[:2] = "", "" if r.metric == before.metric else cells[1]
        rows.append(cells)
        before = r
    head = [f"${h}$" if h in ("p", "n") else escape_latex(h) for h in _HEAD]
    body = pd.DataFrame(rows, columns=head).style.hide(axis="index")
    return "% \\usepackage{booktabs}\n" + body.to_latex(
        column_format="lllrrrrrrr",
        hrules=True,
        caption=escape_latex(caption),
        position_float="centering",
    )


def csv_table(results: Sequence[Result]) -> str:
    """Write all results with full precision."""
    return csv_text(pd.DataFrame([asdict(r) for r in results]))


def escape_latex(text: str) -> str:
    """Escape text so that LaTeX prints it as it is."""
    return "".join(_SPECIAL.get(c, c) for c in text)


def _cells(r: Result, unit: str) -> tuple[str, ...]:
    metric = r.metric
    head = (r.group, METRICS.get(metric).axis(unit), r.name)
    mean = (number(r.mean, metric), interval(r.low, r.high, metric))
    if r.baseline:
        return (*head, *mean, "", "", "", "", str(r.n))
    span = interval(r.difference_low, r.difference_high, metric, sign=True)
    tail = (signed(r.difference, metric), span, p_value(r.p_holm), effect(r.effect), str(r.n))
    return (*head, *mean, *tail)
