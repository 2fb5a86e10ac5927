"""Tables of RESULTS.md: arms against metrics, with seeds and paired statistics."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from benchmarks.harness.cell import Cell
from benchmarks.harness.run_cell import result_file
from hinterland.evaluation.metrics.registry import METRICS
from hinterland.evaluation.statistics.difference import paired_difference
from hinterland.evaluation.statistics.take_off import not_taken_off

PERCENT = 100.0


@dataclass(frozen=True)
class Table:
    """One table: which cells, which figures, against which arm, beside which published figure.

    columns: (heading, coarsening, classes, metric); the mean over these classes of the per-case
    means. Empty classes: all of the coarsening. paper: arm -> text in the last column.
    shared: arm -> (group, arm) of another table's cells, which this one shows too, first.
    """

    title: str
    group: str
    columns: Sequence[tuple[str, str, Sequence[str], str]]
    baseline: str | None = None
    paper: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    shared: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def arms(self, cells: Sequence[Cell]) -> dict[str, list[Cell]]:
        """The cells of every row."""
        found = {
            arm: [c for c in cells if (c.group, c.arm) == place]
            for arm, place in self.shared.items()
        }
        for cell in cells:
            if cell.group == self.group:
                found.setdefault(cell.arm, []).append(cell)
        return found


def load(benchmark: str, size: str, cells: Sequence[Cell]) -> dict[str, dict[str, Any]]:
    """The up-to-date results of the cells, by cell name."""
    found = {}
    for cell in cells:
        file = result_file(benchmark, size, cell.name)
        if file.is_file():
            result = json.loads(file.read_text())
            if result["key"] == cell.key:
                # many tables show the same run: its per-case tables are made once
                found[cell.name] = result | {"frames": frames(result)}
    return found


def cases_of(result: Mapping[str, Any], which: str | None = None) -> pd.DataFrame:
    """The per-case table of a training result; `which`: best, last, or the reported one (also
    where best and last are the same step)."""
    known: Mapping[str, pd.DataFrame] = result["frames"]
    return known.get(which or "", known.get(result["reported"], pd.DataFrame()))


def frames(result: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """The per-case table of each checkpoint of a training result."""
    found = {}
    for which, content in result.get("cases", {}).items():
        if not content:
            continue
        table = pd.DataFrame(content["data"], columns=content["columns"])
        table["case"] = table["case"].astype(str)
        if result["config"].get("dataset", "").endswith("phantom"):
            # each seed has phantoms of its own: equal names are other patients
            for column in ("case", "group"):
                table[column] = table[column].astype(str) + f"/{result['seed']}"
        found[which] = table
    return found


def render(table: Table, cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """Write the table as Markdown. Cells that have not been run, or did not take off, say so."""
    arms = table.arms(cells)
    head = ["arm", "runs", *[f"{h}" for h, *_ in table.columns], "last checkpoint"]
    head += ["difference to " + table.baseline + " [95 % CI]; p"] if table.baseline else []
    head += ["published"] if table.paper else []
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    run = {c.name: results[c.name] for own in arms.values() for c in own if c.name in results}
    failed = not_taken_off({name: best_validation(result) for name, result in run.items()})
    for arm, own in arms.items():
        done = [results[c.name] for c in own if c.name in results]
        marked = sum(c.name in failed for c in own)
        counted = f"{len(done)}/{len(own)}"
        row = [arm, f"{counted}, {marked} not taken off" if marked else counted]
        if not done:
            row += ["not run"] * (len(table.columns) + 1)
        else:
            row += [_figure(done, column, None) for column in table.columns]
            row += [_figure(done, table.columns[0], "last")]
        if table.baseline:
            row.append(difference(table, arms, results, arm))
        if table.paper:
            row.append(table.paper.get(arm, ""))
        lines.append("| " + " | ".join(row) + " |")
    parts = [f"#### {table.title}", ""]
    notes = [note for note in (table.note, _merged(run.values())) if note]
    return "\n".join([*parts, *lines, "", *(line for note in notes for line in (note, ""))])


def _merged(results: Iterable[Mapping[str, Any]]) -> str:
    """Say how many runs of finer models were decoded as was done before group sums."""
    older = [cases_of(r) for r in results if "decoding" not in r and "cases" in r]
    old = sum(len(set(table.get("coarsening", ()))) > 1 for table in older)
    if not old:
        return ""
    return (
        f"In {old} of these runs, of models that tell more apart than is asked, the most probable "
        "class was merged into the question; today probabilities are summed by group first, which "
        "finds fewer voxels of a lesion beside several organs."
    )


def best_validation(result: Mapping[str, Any]) -> float:
    """The largest validation Dice of a run; NaN where none was measured."""
    values = [value for _, value in result.get("curve") or () if value is not None]
    return max(values, default=float("nan"))


def per_case(
    results: Sequence[Mapping[str, Any]],
    column: tuple[str, str, Sequence[str], str],
    which: str | None = None,
) -> pd.Series:
    """Value of a column for each (seed, fold, group, case): the mean over the classes."""
    _, coarsening, classes, metric = column
    parts = []
    for result in results:
        frame = cases_of(result, which)
        if frame.empty:
            continue
        frame = frame[frame["coarsening"] == coarsening]
        if classes:
            frame = frame[frame["class"].isin(list(classes))]
        values = frame.groupby(["group", "case"], dropna=False)[metric].mean()
        parts.append(pd.concat({(result["seed"], result["config"]["fold"]): values},
                               names=["seed", "fold"]))  # fmt: skip
    return pd.concat(parts) if parts else pd.Series(dtype=float)


def _figure(
    results: Sequence[Mapping[str, Any]],
    column: tuple[str, str, Sequence[str], str],
    which: str | None,
) -> str:
    values = per_case(results, column, which)
    if values.empty:
        return "not run"
    seeds = values.groupby("seed").mean()
    mean = seeds.mean()
    digits = decimals(column[3])
    text = f"{mean:.{digits}f}"
    return text + (f" ± {seeds.std(ddof=1):.{digits}f}" if len(seeds) > 1 else "")


def difference(
    table: Table,
    arms: Mapping[str, Sequence[Cell]],
    results: Mapping[str, Mapping[str, Any]],
    arm: str,
) -> str:
    """Paired by case, cases averaged over the seeds that both arms have; patients resampled."""
    if arm == table.baseline:
        return ""
    assert table.baseline is not None
    one, two = (
        [results[c.name] for c in arms.get(a, ()) if c.name in results]
        for a in (table.baseline, arm)
    )
    joined = pd.concat(
        {"a": per_case(one, table.columns[0]), "b": per_case(two, table.columns[0])}, axis=1
    ).dropna()
    if joined.empty:
        return "not run"
    means = (joined["b"] - joined["a"]).groupby(["group", "case"]).mean()
    found = paired_difference(means, means.index.get_level_values("group"))
    seeds = joined.index.get_level_values("seed").nunique()
    digits = decimals(table.columns[0][3])
    return (
        f"{found.mean:+.{digits}f} [{found.low:+.{digits}f}, {found.high:+.{digits}f}]; "
        f"p = {found.p:.3g} ({found.patients} patients, {seeds} seeds)"
    )


def decimals(metric: str) -> int:
    """Digits behind the point of a figure, at least two: a benchmark shows small differences."""
    return max(2, METRICS.get(metric).decimals)
