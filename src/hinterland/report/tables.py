"""The result tables as Markdown, LaTeX and CSV, to be put into a paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd

from hinterland.report.format import (
    MINUS,
    MISSING,
    effect,
    interval,
    number,
    p_value,
    signed,
    style,
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
    """A Markdown table, one line per class, metric and method."""
    lines = [_HEAD, *(_cells(r, unit) for r in results)]
    text = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    widths = [max(3, *(len(line[i]) for line in text)) for i in range(len(_HEAD))]
    rows = ["| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
            for line in text]  # fmt: skip
    rule = [("-" * w if i < 3 else "-" * (w - 1) + ":") for i, w in enumerate(widths)]
    return "\n".join([rows[0], "| " + " | ".join(rule) + " |", *rows[1:]]) + "\n"


def latex_table(results: Sequence[Result], unit: str, caption: str) -> str:
    """A booktabs table (needs \\usepackage{booktabs}); classes are set apart by a rule."""
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escape_latex(caption)}}}",
        r"  \begin{tabular}{lllrrrrrrr}",
        r"    \toprule",
        "    " + " & ".join(escape_latex(h) if h not in ("p", "n") else f"${h}$" for h in _HEAD)
        + r" \\",
        r"    \midrule",
    ]  # fmt: skip
    before: Result | None = None
    for r in results:
        if before is not None and r.group != before.group:
            lines.append(r"    \midrule")
        cells = list(_cells(r, unit))
        if before is not None and r.group == before.group:
            cells[0] = ""
            if r.metric == before.metric:
                cells[1] = ""
        lines.append("    " + " & ".join(escape_latex(c) for c in cells) + r" \\")
        before = r
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}"]) + "\n"


def csv_table(results: Sequence[Result]) -> str:
    """All results with full precision."""
    return pd.DataFrame([asdict(r) for r in results]).to_csv(index=False)


def escape_latex(text: str) -> str:
    """Text as LaTeX would print it."""
    return "".join(_SPECIAL.get(c, c) for c in text)


def _cells(r: Result, unit: str) -> tuple[str, ...]:
    metric = r.metric
    head = (r.group, style(metric).axis(unit), r.method)
    mean = (number(r.mean, metric), interval(r.low, r.high, metric))
    if r.baseline:
        return (*head, *mean, "", "", "", "", str(r.n))
    span = interval(r.difference_low, r.difference_high, metric, sign=True)
    tail = (signed(r.difference, metric), span, p_value(r.p_holm), effect(r.effect), str(r.n))
    return (*head, *mean, *tail)
