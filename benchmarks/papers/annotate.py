"""Which patients to annotate next: what `advise annotate` ranks first, against chance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.harness.cell import Cell, ResampledCell, collect
from benchmarks.harness.tables import frames
from benchmarks.papers.drawn_labels import patients_file, shuffled_patients
from benchmarks.papers.semi_plateau import SETTINGS, STEP
from hinterland.evaluation.statistics.difference import paired_difference
from hinterland.inference.uncertainty import rank_cases, unseen
from hinterland.training.runs.run import Run
from hinterland.training.runs.run_training import run_or_resume
from hinterland.types import Dataset

TITLE = "Annotating next what `advise annotate` ranks first"
TEXT = """
ACDC: three labelled patients are drawn, a model is trained, and two patients are added, three
times: those whose scans `advise annotate` ranks first by the model's entropy ("ranked"), or the
next of the shuffled list ("chance"). Every model begins anew, with the same steps; both ways share
the first model. Test patients are never ranked. Test Dice by the checkpoint that validation
patients chose, mean over draws; the difference is paired by case, cases averaged over draws.

CPU size: as `semi_plateau`, supervised, 1,000 steps.
"""
WAYS = ("ranked", "chance")
STEPS = {"smoke": 8, "cpu": 1000, "gpu": 2000, "paper": 10_000}


@dataclass(frozen=True)
class AnnotateCell(ResampledCell):
    """Rounds of annotation from one draw of patients."""

    start: int = 3
    added: int = 2
    rounds: int = 3

    def run(self, folder: Path) -> dict[str, Any]:
        data = self.read()
        order = shuffled_patients(data, self.seed)
        rounds: dict[str, list[dict[str, Any]]] = {}
        for way in WAYS:
            known = order[: self.start]
            for number in range(self.rounds + 1):
                place = folder / ("first" if number == 0 else f"{way}-{number}")
                run = self.trained_on(data, known, place)
                result = collect(run)
                kept = ("cases", "reported", "curve")
                rounds.setdefault(way, []).append(
                    {"patients": known, **{k: result[k] for k in kept}}
                )
                if number < self.rounds:
                    rest = [p for p in order if p not in known]
                    ranked = self.ranked(run, data, place) if way == "ranked" else rest
                    known = known + [p for p in ranked if p in rest][: self.added]
        return {"rounds": rounds}

    def trained_on(self, data: Dataset, patients: Sequence[str], place: Path) -> Run:
        """The model of some labelled patients."""
        place.mkdir(parents=True, exist_ok=True)
        few = patients_file(place / "labelled.txt", patients)
        return run_or_resume(replace(self.request(data), labelled=few), place / "run")

    def ranked(self, run: Run, data: Dataset, place: Path) -> list[str]:
        """The unlabelled training patients, each by its first scan in the ranking."""
        file = place / "ranking.json"
        if not file.is_file():
            table = rank_cases(run, unseen(run, data.train))
            file.write_text(json.dumps([str(g) for g in table["group"]]))
        return list(dict.fromkeys(json.loads(file.read_text())))


def cells(size: str, seeds: int) -> list[AnnotateCell]:
    """One cell a draw."""
    return [
        AnnotateCell(
            "entropy", seed, "acdc", dataset="Dataset027_ACDC", labels="acdc.yaml", dims=2,
            memory=2.0, step=STEP[size], rounds=1 if size == "smoke" else 3,
            settings={"recipe": "fast", **SETTINGS[size], "steps": STEPS[size]},
        )
        for seed in range(seeds)
    ]  # fmt: skip


def page(size: str, all_cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """A row for each round: both ways and their difference."""
    del size
    done = [results[c.name] for c in all_cells if c.name in results]
    lines = ["| labelled patients | draws | ranked | chance | ranked − chance [95 % CI]; p |",
             "| ---: | ---: | ---: | ---: | --- |"]  # fmt: skip
    for number in range(len(done[0]["rounds"][WAYS[0]])):
        both = pd.concat(
            {
                way: pd.concat({r["seed"]: _values(r, way, number) for r in done}, names=["seed"])
                for way in WAYS
            },
            axis=1,
        )
        means = both.groupby("seed").mean().mean()
        count = len(done[0]["rounds"][WAYS[0]][number]["patients"])
        row = [str(count), str(len(done)), *(f"{means[way]:.3f}" for way in WAYS)]
        if number:
            change = (both["ranked"] - both["chance"]).groupby(["group", "case"]).mean()
            found = paired_difference(change, change.index.get_level_values("group"))
            row.append(
                f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]; p = {found.p:.3g}"
            )
        else:
            row.append("the same model")
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def _values(result: Mapping[str, Any], way: str, number: int) -> pd.Series:
    """Mean Dice over the classes, for each patient and case."""
    one = {**result, **result["rounds"][way][number]}
    table = frames(one)[one["reported"]]
    table = table[table["coarsening"] == "target"]
    return table.groupby(["group", "case"], dropna=False)["dice"].mean()
