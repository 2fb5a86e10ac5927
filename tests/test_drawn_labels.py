"""Benchmarks that draw their labelled patients: the leaderboard, and what to annotate next."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from hinterland.types import Case

NEEDS = "needs the repository's benchmarks/"
tables = pytest.importorskip("benchmarks.harness.tables", reason=NEEDS)
annotate, drawn_labels, leaderboard = (
    import_module(f"benchmarks.papers.{name}")
    for name in ("annotate", "drawn_labels", "leaderboard")
)
frames = tables.frames

COLUMNS = ["case", "group", "class", "coarsening", "dice"]


def measured(dice: float, patients: int = 8) -> dict:
    """The per-case table of a run whose patients lie around `dice`."""
    rows = [[f"p{i}_1", f"p{i}", "LV", "target", dice + (i - 3.5) / 100] for i in range(patients)]
    return {"cases": {"last": {"columns": COLUMNS, "data": rows}}, "reported": "last"}


def test_the_leaderboard_ranks_over_draws_and_counts_who_is_first():
    cells = leaderboard.cells("cpu", 3)
    assert len(cells) == leaderboard.DRAWS * len(leaderboard.METHODS)
    assert len({c.name for c in cells}) == len(cells)
    level = {"supervised": (0.50, 0.60), "bcp": (0.60, 0.70), "cvbm": (0.70, 0.65)}
    results = {}
    for cell in cells:
        if cell.arm in level and cell.seed < 2:
            one = {"seed": cell.seed, "config": {"fold": "fixed"}, **measured(
                level[cell.arm][cell.seed])}  # fmt: skip
            results[cell.name] = {**one, "frames": frames(one)}
    page = leaderboard.page("cpu", cells, results)
    rows = {m: re.split(r" *\| *", line)[1:-1] for m in level for line in page.splitlines()
            if line.startswith(f"| {m} ")}  # fmt: skip
    assert rows["bcp"][1:6] == ["2", "0.650", "0.071", "1 of 2", "1.5"]
    assert rows["cvbm"][1:6] == ["2", "0.675", "0.035", "1 of 2", "1.5"]
    assert rows["supervised"][4:6] == ["0 of 2", "3.0"]
    wins = {m: float(row[6]) for m, row in rows.items()}
    assert wins["cvbm"] > wins["bcp"] > wins["supervised"] == 0
    assert "| unimatch | 0 | not run |" in page


def test_rounds_of_annotation_are_compared_by_case():
    cells = annotate.cells("cpu", 2)
    results = {}
    for cell in cells:
        rounds = {
            way: [
                {"patients": ["a"] * (3 + 2 * n), **measured(0.5 + 0.1 * n + gain * (n > 0))}
                for n in range(4)
            ]
            for way, gain in (("ranked", 0.03), ("chance", 0.0))
        }
        one = {"seed": cell.seed, "config": {"fold": "fixed"}, "rounds": rounds}
        results[cell.name] = one
    rows = annotate.page("cpu", cells, results).splitlines()[2:]
    assert rows[0] == "| 3 | 2 | 0.500 | 0.500 | the same model |"
    assert rows[3].startswith("| 9 | 2 | 0.830 | 0.800 | +0.030 [+0.030, +0.030]; p = 0.00781")


class Data:
    """As much of a data set as a draw looks at."""

    def __init__(self, order=range(10)):
        self.train = [
            Case(f"p{i}_{j}", (Path("x.png"),), Path("y.png") if i < 8 else None, group=f"p{i}")
            for i in order for j in (1, 2)
        ]  # fmt: skip


def test_patients_are_drawn_by_the_seed_alone():
    shuffled = drawn_labels.shuffled_patients
    first = shuffled(Data(), 0)
    assert first == shuffled(Data(reversed(range(10))), 0)
    assert sorted(first) == [f"p{i}" for i in range(8)]  # who has no label cannot be drawn
    assert len({tuple(shuffled(Data(), seed)) for seed in range(5)}) == 5
