"""The synthetic study: classifier against segmentation-for-classification along a sweep."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from hinterland.data.io.csv_text import csv_text
from hinterland.data.io.files import write_text
from hinterland.studies.runner import write_summary
from hinterland.studies.synthetic.figures import draw_sweep
from hinterland.studies.synthetic.sweeps import SIZES, SWEEPS, Sweep, sweep_of
from hinterland.studies.synthetic.theory import theory_table
from hinterland.studies.synthetic.trial import Trial, run_trial
from hinterland.types import HinterlandError

log = logging.getLogger(__name__)
Outcome = Mapping[str, Any]
Report = Callable[[int, int, str], None]
MAIN = "balanced_accuracy"
"""The metric of the paper's figures."""


def run_study(
    out: Path | str,
    sweeps: Sequence[str],
    size: str = "cpu",
    seeds: int = 1,
    *,
    report: Report | None = None,
    stage: Callable[[str], None] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Train every trial of the sweeps, seed after seed; write tables, figures and a summary.

    Writes into `out`: trials/KEY.json (one a trial; a trial that two sweeps share is trained once),
    and for each sweep NAME.csv, NAME.png, NAME.svg and NAME-theory.csv (the terms of Proposition 1,
    exactly); summary.json. Called again it goes on where it was, and takes over trials that are
    there.

    Args:
        out: the folder to write into.
        sweeps: their names.
        size: of the sweeps, by name.
        seeds: how many seeds.
        report: called with (steps done, steps of all trials, message).
        stage: called with what begins.
        overwrite: train trials again that are there.

    Returns:
        The summary.

    Raises:
        HinterlandError: an unknown sweep or size, or a folder that holds something else.
    """
    out = Path(out)
    chosen = [sweep_of(name) for name in sweeps]
    if size not in SIZES or seeds < 1:
        raise HinterlandError(
            f"size {size!r}, {seeds} seeds: expected {', '.join(SIZES)}, and at least one seed."
        )
    if out.exists() and any(out.iterdir()) and not (out / "trials").is_dir():
        raise HinterlandError(
            f"{out} is there already and holds no synthetic study; nothing in it is touched. "
            "Choose another --out."
        )
    trials = {
        trial.key: trial
        for seed in range(seeds)
        for sweep in chosen
        for _, trial in sweep.trials(size, seed)
    }
    outcomes = _train(out / "trials", trials, report, stage or log.info, overwrite)
    return _conclude(out, chosen, size, seeds, outcomes)


def _train(
    folder: Path,
    trials: Mapping[str, Trial],
    report: Report | None,
    stage: Callable[[str], None],
    overwrite: bool,
) -> dict[str, Outcome]:
    tell = report or (lambda *_: None)
    total, before = sum(t.budget.steps for t in trials.values()), 0
    outcomes: dict[str, Outcome] = {}
    stage(f"training {len(trials)} networks")
    for key, trial in trials.items():
        file = folder / f"{key}.json"
        if overwrite or not file.is_file():

            def count(done: int, _: int, arm: str, before: int = before) -> None:
                tell(before + done, total, arm)

            outcome = {"trial": asdict(trial), **run_trial(trial, folder, count)}
            write_text(file, json.dumps(outcome, indent=1) + "\n")
        outcomes[key] = json.loads(file.read_text(encoding="utf-8"))
        before += trial.budget.steps
    return outcomes


def sweep_table(
    sweep: Sweep, size: str, seeds: int, outcomes: Mapping[str, Outcome]
) -> pd.DataFrame:
    """Tabulate what has been run, one row for each value, arm and seed: their metrics.

    Args:
        sweep: what is varied.
        size: of the study.
        seeds: how many.
        outcomes: trial's key -> what it gave.

    Returns:
        The table.
    """
    rows = []
    for seed in range(seeds):
        for value, trial in sweep.trials(size, seed):
            if trial.key in outcomes:
                found = outcomes[trial.key]
                extra = {"parameters": found["parameters"], "seconds": found["seconds"]}
                fixed = {"sweep": sweep.name, "value": value, "arm": trial.arm, "seed": seed}
                rows.append(fixed | dict(found["metrics"]) | extra)
    return pd.DataFrame(rows)


def findings(sweep: Sweep, table: pd.DataFrame, metric: str = MAIN) -> list[str]:
    """Say what the table shows: the difference at each value, and where its sign changes.

    Args:
        sweep: what is varied.
        table: one row for each value, arm and seed.
        metric: its column.

    Returns:
        Sentences.
    """
    means = table.pivot_table(index="value", columns="arm", values=metric)
    if not {"classifier", "segmentation"} <= set(means.columns):
        return []
    both = means[["segmentation", "classifier"]].dropna()
    name = metric.replace("_", " ")
    lines, gaps = [], []
    for value, one, other in both.reset_index().itertuples(index=False):
        gaps.append((float(value), float(one) - float(other)))
        lines.append(
            f"{sweep.title}, {sweep.axis} {value:g}: {name} of segmentation {one:.3f}, of the "
            f"classifier {other:.3f} ({one - other:+.3f})"
        )
    crossings = [f"{a:g} and {b:g}" for (a, x), (b, y) in pairwise(gaps) if (x > 0) != (y > 0)]
    if crossings:
        lines.append(f"{sweep.title}: the curves cross between {', '.join(crossings)}.")
    return lines


def _conclude(
    out: Path, sweeps: Sequence[Sweep], size: str, seeds: int, outcomes: Mapping[str, Outcome]
) -> dict[str, Any]:

    summary: dict[str, Any] = {"size": size, "seeds": seeds, "sweeps": {}}
    for sweep in sweeps:
        table = sweep_table(sweep, size, seeds, outcomes)
        write_text(out / f"{sweep.name}.csv", csv_text(table))
        draw_sweep(sweep, table, out, endings=("png", "svg"))
        terms = theory_table(sweep, size)
        if len(terms):
            write_text(out / f"{sweep.name}-theory.csv", csv_text(terms))
        summary["sweeps"][sweep.name] = {
            "title": sweep.title,
            "axis": sweep.axis,
            "rows": json.loads(table.to_json(orient="records")),
            "findings": findings(sweep, table),
        }
    write_summary(summary, out)
    return summary


def all_sweeps() -> list[str]:
    """List the names of all sweeps, in the order in which they should be run."""
    return list(SWEEPS)
