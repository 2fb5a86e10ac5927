"""`analyse gradients`: what a binary label hides from a network, in one run or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hinterland.evaluation.statistics.bootstrap import bootstrap_ci
from hinterland.studies.gradients.figure import draw_gradients
from hinterland.studies.gradients.measure import VOXELS, Gradients, measure
from hinterland.studies.runner import write_summary, write_table
from hinterland.training.runs.outcome import evaluated_cases
from hinterland.training.runs.run import Run
from hinterland.types import HinterlandError


def analyse_gradients(
    runs: Sequence[Run],
    out: Path,
    *,
    voxels: int = VOXELS,
    seed: int = 0,
    overwrite: bool = False,
    tick: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure gradients and information of runs on their test cases, and draw paper 1's figure 2.

    Runs in 2D and in 3D beside each other are the study of heterogeneity (appendix A.7). Writes
    structures.csv, cases.csv, gradients.png and summary.json.

    Args:
        runs: finished runs that tell more apart than the target.
        out: the folder to write into.
        voxels: of each case at most.
        seed: of their draw.
        overwrite: write into a folder that is not empty.
        tick: called with (done, of how many).

    Returns:
        What summary.json holds.

    Raises:
        HinterlandError: a run without labelled test cases, without structures or without feature
            maps; `out` not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not overwrite:
        raise HinterlandError(f"{out} is not empty. Give --overwrite, or another --out.")
    tested = {run.path: evaluated_cases(run, run.dataset)[0] for run in runs}
    if empty := [path for path, cases in tested.items() if not cases]:
        raise HinterlandError(f"{empty[0]} has no labelled test cases to look at. Add some.")
    total, done = sum(map(len, tested.values())), 0
    found: dict[str, Gradients] = {}
    for run in runs:

        def count(now: int, _: int, before: int = done) -> None:
            if tick:
                tick(before + now, total)

        name = run.path.name if run.path.name not in found else str(run.path)
        cases = tested[run.path]
        found[name] = measure(run, cases, voxels=voxels, seed=seed, tick=count)
        done += len(cases)
    out.mkdir(parents=True, exist_ok=True)
    write_table(_structures(found), out / "structures.csv")
    rows = [one.cases.assign(run=name) for name, one in found.items()]
    write_table(pd.concat(rows, ignore_index=True), out / "cases.csv")
    draw_gradients(found, out / "gradients.png")
    summary = {
        "runs": {
            name: {"path": str(run.path), "dims": run.record.dims, **_figures(one)}
            for run, (name, one) in zip(runs, found.items(), strict=True)
        },
        "voxels": voxels, "seed": seed, "out": str(out),
    }  # fmt: skip
    write_summary(summary, out)
    return summary


def _structures(found: dict[str, Gradients]) -> pd.DataFrame:
    """Tabulate a row a run and structure."""
    rows = []
    for name, one in found.items():
        whole = one.background / max(float(np.linalg.norm(one.background)), 1e-12)
        for structure, score, count in zip(one.structures, one.scores, one.counts, strict=True):
            length = float(np.linalg.norm(score))
            rows.append(
                {"run": name, "structure": structure, "voxels": int(count), "length": length,
                 "cosine_with_background": float(score @ whole) / length if length else np.nan,
                 "added": one.shares[structure]}
            )  # fmt: skip
    return pd.DataFrame(rows)


def _figures(one: Gradients) -> dict[str, Any]:
    lost = bootstrap_ci(one.cases["lost"].to_numpy(), one.cases["group"].to_numpy(str))
    alike = one.alike
    return {
        "cases": len(one.cases), "lost": lost.mean, "low": lost.low, "high": lost.high,
        "cosine": None if np.isnan(alike) else alike, "added": one.shares,
    }  # fmt: skip
