"""Tables of the feature discrepancy benchmark that the common ones do not make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from benchmarks.harness.cell import Cell
from benchmarks.harness.tables import per_case
from benchmarks.papers.discrepancy_cells import OverheadCell
from hinterland.evaluation.statistics.over_runs import t_test

Results = Mapping[str, Mapping[str, Any]]
COLUMNS = {"Dice": ("Dice", "target", (), "dice"), "IoU": ("IoU", "target", (), "jaccard")}
NONE, FD = "none", "L_fd"
WORST = 0.25


def overhead(cells: Sequence[Cell], results: Results) -> str:
    """Step times without and with the loss."""
    lines = [
        "#### Step time: L_fd in every layer over none (aim: at most 5 %)", "",
        "| network, widths, input | none (s) | L_fd (s) | overhead [lowest, highest step] |",
        "| --- | --- | --- | --- |",
    ]  # fmt: skip
    for cell in cells:
        if not isinstance(cell, OverheadCell):
            continue
        what = f"{cell.network}, {cell.features[0]}-{cell.features[1]}, {cell.batch} x {cell.edge}²"
        found = results.get(cell.name)
        if found is None:
            lines.append(f"| {what} | not run | not run | not run |")
            continue
        low, high = found["spread"]
        lines.append(
            f"| {what} | {found['none']:.3f} | {found['with']:.3f} | "
            f"{found['ratio'] - 1:+.1%} [{low - 1:+.1%}, {high - 1:+.1%}] |"
        )
    return "\n".join(lines) + "\n"


def worst_and_best(groups: Mapping[str, str], cells: Sequence[Cell], results: Results) -> str:
    """Dice and IoU of worst-off and best-off cases, without and with the loss."""
    lines = [
        "#### Worst-off and best-off cases", "",
        f"Worst-off: the {WORST:.0%} of the test cases with the lowest Dice without the loss, "
        "best-off: equally many with the highest. A case's Dice that puts it into a group is the "
        "mean over the *other* seeds, and the group is compared on the seed left out, in both "
        "arms: groups chosen and compared on the same run drift to the mean by themselves (the "
        "paper chooses and compares on one baseline). One seed alone: not possible.", "",
        "| run | cases | Dice none | Dice L_fd | difference | IoU none | IoU L_fd | difference "
        "(p of a t-test over seeds, Dice) |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for group, title in groups.items():
        lines += _group_rows(title, [c for c in cells if c.group == group], results)
    return "\n".join(lines) + "\n"


def _group_rows(title: str, cells: Sequence[Cell], results: Results) -> list[str]:
    runs = {
        arm: [results[c.name] for c in cells if c.arm == arm and c.name in results]
        for arm in (NONE, FD)
    }
    values = {
        (arm, metric): per_case(found, column).unstack("seed")  # noqa: PD010
        for arm, found in runs.items()
        for metric, column in COLUMNS.items()
        if found
    }
    if len(values) < 4:
        return [f"| {title} | not run |" + " |" * 6]
    chosen = groups_of(values[NONE, "Dice"])
    if not chosen:
        return [f"| {title} | one seed |" + " |" * 6]
    rows = []
    for name, members in chosen.items():
        means: dict[tuple[str, str], pd.Series] = {}
        for key, table in values.items():
            seeds = [s for s in members if s in table]
            means[key] = pd.Series({s: table.loc[members[s], s].mean() for s in seeds})
        row = [f"{title}, {name}", str(len(next(iter(members.values()))))]
        p = float("nan")
        for metric in COLUMNS:
            pair = pd.concat([means[NONE, metric], means[FD, metric]], axis=1).dropna()
            difference = pair[1] - pair[0]
            row += [f"{pair[0].mean():.3f}", f"{pair[1].mean():.3f}", _spread(difference)]
            if metric == "Dice":
                p = t_test(difference.to_numpy())
        rows.append("| " + " | ".join(row) + f" (p = {p:.2g}) |")
    return rows


def groups_of(baseline: pd.DataFrame) -> dict[str, dict[Any, pd.Index]]:
    """Group -> seed -> its cases, chosen by the mean over the other seeds; {} with one seed."""
    if baseline.shape[1] < 2:
        return {}
    count = max(1, round(WORST * len(baseline)))
    found: dict[str, dict[Any, pd.Index]] = {"worst-off": {}, "best-off": {}}
    for seed in baseline:
        order = baseline.drop(columns=seed).mean(axis=1).sort_values(kind="stable").index
        found["worst-off"][seed], found["best-off"][seed] = order[:count], order[-count:]
    return found


def _spread(values: pd.Series) -> str:
    text = f"{values.mean():+.3f}"
    return text + (f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else "")
