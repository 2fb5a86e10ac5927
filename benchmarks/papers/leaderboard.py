"""A leaderboard of semi-supervised methods over draws of labelled patients, without selection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from benchmarks.harness.cell import Cell
from benchmarks.harness.tables import per_case
from benchmarks.papers.drawn_labels import DrawnCell
from benchmarks.papers.semi_plateau import SETTINGS, STEP
from hinterland.evaluation.statistics.ranking import ranking_stability

TITLE = "Leaderboard: ten draws of labelled patients, last checkpoints"
TEXT = """
ACDC, ten draws of three labelled patients (published tables use the first of a list, and one draw);
every method has the same network, patches, steps and draws. The last checkpoint is reported:
validation cases choose nothing, and test cases are read once. Means are over draws, each the mean
over 20 test patients; "first in" counts draws. Wins are over resampled draws and patients at once
(every pair of draw and patient is a unit), of the draws that all shown methods have.

CPU size: as `semi_plateau`, 1,500 steps.
"""
METHODS = ("supervised", "bcp", "cvbm", "unimatch", "mean-teacher", "pseudo-label", "cps", "ua-mt")
DRAWS = 10
PATIENTS = 3
STEPS = {"smoke": 8, "cpu": 1500, "gpu": 2000, "paper": 10_000}
COLUMN = ("Dice", "target", (), "dice")
PAIR = 2


def cells(size: str, seeds: int) -> list[DrawnCell]:
    """All methods on a draw before the next draw; ten draws, whatever `seeds` says."""
    del seeds
    return [
        DrawnCell(
            method, draw, f"acdc-{PATIENTS}", dataset="Dataset027_ACDC", labels="acdc.yaml",
            method=method, patients=PATIENTS, dims=2, memory=2.0, step=STEP[size],
            settings={"recipe": "fast", **SETTINGS[size], "steps": STEPS[size]},
        )
        for draw in range(1 if size == "smoke" else DRAWS)
        for method in METHODS
    ]  # fmt: skip


def page(size: str, all_cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """The table of methods: mean, spread over draws, ranks, and how stable they are."""
    del size
    found = {
        method: per_case(
            [results[c.name] for c in all_cells if c.arm == method and c.name in results],
            COLUMN, "last",
        )
        for method in METHODS
    }  # fmt: skip
    shown = {m: v for m, v in found.items() if len(v)}
    lines = [
        "| method | draws | Dice, last checkpoint | SD over draws | first in | mean rank | wins |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    table = pd.concat(shown, axis=1).dropna() if len(shown) >= PAIR else pd.DataFrame()
    draws = table.groupby("seed").mean() if len(table) else table
    ranks = draws.rank(axis=1, ascending=False)
    stable = ranking_stability(
        table.groupby(["seed", "group"]).mean().to_numpy()
    ) if len(draws) else None  # fmt: skip
    for method in METHODS:
        if method not in shown:
            lines.append(f"| {method} | 0 | not run | | | | |")
            continue
        own = shown[method].groupby("seed").mean()
        spread = f"{own.std(ddof=1):.3f}" if len(own) >= PAIR else ""
        row = [method, str(len(own)), f"{own.mean():.3f}", spread]
        if stable is not None:
            place = list(table.columns).index(method)
            row += [f"{int((ranks[method] == 1).sum())} of {len(ranks)}",
                    f"{ranks[method].mean():.1f}", f"{stable.wins[place]:.2f}"]  # fmt: skip
        else:
            row += ["", "", ""]
        lines.append("| " + " | ".join(row) + " |")
    if stable is not None:
        lines += ["", f"Kendall's tau with resampled rankings: {stable.tau:.2f}."]
    return "\n".join(lines)
