"""The same predictions of a real run under every convention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.cell import Cell, TrainCell
from benchmarks.peers import nnunet_figures

TITLE = "One run under four conventions"
TEXT = """
The test predictions of the ACDC run above, evaluated as we, MONAI,
medpy and SSL4MIS would. Nothing but the convention differs: percentile (of each direction or
pooled), units, direction of the mean surface distance, and what an empty mask is charged.
"""


@dataclass(frozen=True)
class ConventionsCell(TrainCell):
    """Train as `nnunet_figures` does, unless its run is there, then evaluate four times."""

    def run(self, folder: Path) -> dict[str, Any]:
        import json

        from hinterland.evaluation.metrics.conventions import evaluate_conventions, side_by_side
        from hinterland.training.runs.run import Run

        there = folder.parents[2] / "nnunet_figures" / folder.parent.name
        runs = [f / "run" for f in there.glob("acdc*") if (f / "run" / "summary.json").is_file()]
        result = {} if runs else super().run(folder)
        run = Run(runs[0] if runs else folder / "run")
        cases = tuple(c for c in run.record.cases(run.dataset, "test") if c.labelled)
        table = evaluate_conventions(
            run.path / "predictions", cases, spec=run.record.spec, at="target", extra=True
        )
        rows = json.loads(side_by_side(table).to_json(orient="records"))
        return {**result, "dataset_fingerprint": run.record.plan.fingerprint, "rows": rows}


def cells(size: str, seeds: int) -> list[Cell]:
    """One cell."""
    acdc = nnunet_figures.cells(size, seeds)[0]
    return [ConventionsCell(**vars(acdc))]


def page(size: str, all_cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """Rows of `side_by_side`."""
    names = ("hinterland", "monai", "medpy", "ssl4mis")
    lines = ["| class | metric | " + " | ".join(f"{n} (cases)" for n in names) + " | spread |",
             "|" + " --- |" * 7]  # fmt: skip
    for row in results[all_cells[0].name]["rows"]:
        values = [f"{number(row[n])} ({row[f'cases {n}']})" for n in names]
        lines.append("| " + " | ".join([row["class"], row["metric"], *values,
                                        number(row["spread"])]) + " |")  # fmt: skip
    return "\n".join(lines)


def number(value: float | None) -> str:
    """Three decimals; JSON has no infinity."""
    return "infinite or none" if value is None else f"{value:.3f}"
