"""Lesions found, and where the false positives lie: paper 1's main claim is fewer of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

import pandas as pd

from hinterland.report.false_positives import false_positives_by_structure
from hinterland.report.lesion_sizes import lesion_table
from hinterland.training.runs.outcome import evaluated_cases
from hinterland.training.runs.run import Run

if TYPE_CHECKING:
    from benchmarks.harness.cell import Cell

Results = Mapping[str, Mapping[str, Any]]
NOT_RUN = "not run"


def of_lesions(run: Run) -> dict[str, Any]:
    """`lesions` and `structures` of a finished run at the target; nothing where no organ is told.

    Per case and class: lesions of the reference and how many were found; the false-positive
    volume in each structure (mL; thousands of voxels where the spacing is unknown).
    """
    spec = run.record.spec
    target = spec.target
    if len(target.groups[target.background]) < 2:
        return {}
    cases, _ = evaluated_cases(run, run.dataset)
    asked: dict[str, Any] = {"spec": spec, "at": {"target": target},
                             "cases": [c.name for c in cases]}  # fmt: skip
    lesions = lesion_table(run.path / "predictions", cases, **asked)
    found = lesions.groupby(["case", "class"])["found"].agg(lesions="count", found="sum")
    places = false_positives_by_structure(run.path / "predictions", cases, **asked)
    places["volume"] = places["ml"].where(places["ml"].notna(), places["voxels"] / 1000)
    places = places[places["structure"] != places["class"]]
    kept = places[["case", "class", "structure", "volume"]].round(5)
    return {"lesions": _split(found.reset_index()), "structures": _split(kept)}


def _split(table: pd.DataFrame) -> Any:
    return json.loads(table.to_json(orient="split", index=False))


def _table(result: Mapping[str, Any], name: str) -> pd.DataFrame | None:
    if name not in result:
        return None
    return pd.read_json(StringIO(json.dumps(result[name])), orient="split", dtype={"case": str})


def sensitivity(result: Mapping[str, Any]) -> float | None:
    """Share of the lesions that a run found, over all its cases; None where it was not measured."""
    table = _table(result, "lesions")
    if table is None or not table["lesions"].sum():
        return None
    return float(table["found"].sum() / table["lesions"].sum())


def volumes(result: Mapping[str, Any]) -> pd.Series | None:
    """Mean over cases of the false-positive volume in each structure, all classes summed."""
    table = _table(result, "structures")
    if table is None:
        return None
    sums = table.groupby("structure")["volume"].sum()
    return sums / table["case"].nunique()


def lesion_section(title: str, group: str, cells: Sequence[Cell], results: Results) -> str:
    """Markdown: lesion sensitivity and false positives by structure, a row an arm, mean of runs."""
    arms = dict.fromkeys(c.arm for c in cells if c.group == group)
    rows: dict[str, tuple[list[float], list[pd.Series], int]] = {}
    for arm in arms:
        done = [results[c.name] for c in cells if (c.group, c.arm) == (group, arm)
                and c.name in results]  # fmt: skip
        found = [s for r in done if (s := sensitivity(r)) is not None]
        where = [v for r in done if (v := volumes(r)) is not None]
        rows[arm] = found, where, len(where)
    measured = [v for _, where, _ in rows.values() for v in where]
    if not measured:
        return f"#### {title}: lesions found, false positives by structure\n\n{NOT_RUN}\n"
    order = pd.concat(measured, axis=1).fillna(0).mean(axis=1).sort_values(ascending=False).index
    head = ["arm", "runs", "lesion sensitivity", *(f"in {s}" for s in order), "all"]
    lines = [f"#### {title}: lesions found, false positives by structure", "",
             "Share of the lesions found; false-positive volume a case (mL, or 1000 voxels) by the "
             "structure of the reference that it lies in.", "",
             "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]  # fmt: skip
    for arm, (found, where, count) in rows.items():
        if not where:
            lines.append(f"| {arm} | 0 |" + f" {NOT_RUN} |" * (len(head) - 2))
            continue
        means = pd.concat(where, axis=1).reindex(order).fillna(0).mean(axis=1)
        share = f"{sum(found) / len(found):.3f}" if found else "-"
        parts = [f"{means[s]:.2f}" for s in order]
        row = [arm, str(count), share, *parts, f"{means.sum():.2f}"]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join([*lines, ""])
