"""Does distillation pay? Three teachers, their student, and the same small network without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.harness.cell import Cell, TrainCell, collect
from benchmarks.harness.run_cell import work_folder
from benchmarks.harness.tables import Table
from hinterland.training.config import make_config
from hinterland.training.runs.beside_teachers import MEAN, STUDENT
from hinterland.training.runs.distil import distil_request
from hinterland.training.runs.run_training import run_or_resume

TITLE = "Distillation"
TEXT = """
Hippocampus in 3D, 10 training cases labelled, the others without labels. Three teachers
(supervised on the labelled cases, seeds 0 to 2) and students half as wide: distilled from the
three with labelled and unlabelled cases, distilled with the labelled cases alone, and trained
without teachers. All have the same batch, patches and recipe (`fast`), students 1,000 steps and
teachers 300; a distilled student's
steps take longer, as its teachers answer, too. Test cases were in nobody's training, and nothing
is selected: there is one validation, at the end.
"""
TEACHERS = 3
GROUP = "hippocampus-10"
ALONE = "small, without teachers"
DISTILLED = "small, distilled"
LABELLED = "small, distilled on labelled patients"
TEACHER = "teacher"
WIDE, NARROW = [8, 64], [4, 32]
_SMALL = {"steps": 300, "batch_size": 2, "patch_size": [32, 40, 32]}
_LONGER = 1000  # steps of a student: after 300 so narrow a network has not left the transient
_SIZES: dict[str, dict[str, Any]] = {
    "smoke": {"steps": 2, "batch_size": 2, "patch_size": [16, 24, 16]},
    "paper": {"steps": 25_000},
}


@dataclass(frozen=True)
class DistilledCell(TrainCell):
    """A student of the teachers of this size; `options` are the distillation's."""

    teachers: tuple[TrainCell, ...] = ()

    def run(self, folder: Path) -> dict[str, Any]:
        runs = [
            cell.trained(work_folder(folder.parent / cell.name, cell.key)).path
            for cell in self.teachers
        ]
        settings = {**self.settings, "seed": self.seed}
        request = distil_request(runs, options=self.options, config=make_config(settings))
        run = run_or_resume(request, folder / "run")
        beside = run.summary["beside_teachers"]
        return {**collect(run), "beside": beside}


def cells(size: str, seeds: int) -> list[Cell]:
    """The teachers, then seed by seed the students."""
    teachers = tuple(_cell(size, TEACHER, seed, WIDE) for seed in range(TEACHERS))
    result: list[Cell] = list(teachers)
    for seed in range(seeds):
        result.append(_cell(size, ALONE, seed, NARROW))
        result.append(_student(size, DISTILLED, seed, teachers, {}))
        result.append(_student(size, LABELLED, seed, teachers, {"labelled_share": 1.0}))
    return result


def _settings(size: str, features: Sequence[int]) -> dict[str, Any]:
    chosen = dict(_SIZES.get(size, _SMALL))
    if features == NARROW and size not in _SIZES:
        chosen["steps"] = _LONGER
    network = {"network_options": {"features": list(features)}} if size != "paper" else {}
    return {
        "recipe": "fast", **network, **chosen,
        "validation": {"interval": chosen["steps"], "mirror": False, "overlap": 0.25},
    }  # fmt: skip


def _common(size: str, arm: str, seed: int) -> dict[str, Any]:
    return {
        "arm": arm, "seed": seed, "group": GROUP, "dataset": "Dataset004_Hippocampus",
        "labels": "hippocampus.yaml", "labelled": "10", "dims": 3,
        "memory": 8.0 if size == "paper" else 2.0,
    }  # fmt: skip


def _cell(size: str, arm: str, seed: int, features: Sequence[int]) -> TrainCell:
    settings = _settings(size, features)
    if size == "paper" and arm == ALONE:
        settings["network_options"] = {"features": [16, 160]}  # half of nnU-Net's 32 and 320
    return TrainCell(**_common(size, arm, seed), settings=settings)


def _student(
    size: str,
    arm: str,
    seed: int,
    teachers: tuple[TrainCell, ...],
    options: Mapping[str, Any],
) -> DistilledCell:
    settings = _settings(size, NARROW)
    return DistilledCell(
        **_common(size, arm, seed), settings=settings, options=options, teachers=teachers
    )


def tables(size: str) -> list[Table]:
    """Test patients: Dice and the distance of surfaces, against the small network alone."""
    del size
    columns = [
        ("Dice", "target", (), "dice"),
        ("HD95 (mm)", "target", (), "hd95"),
    ]
    return [Table("Hippocampus, 10 labelled cases: test cases", GROUP, columns, baseline=ALONE)]


def page(size: str, cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """What students cost and reach beside their teachers, on the same cases and machine."""
    del size
    done = [results[c.name] for c in cells if "beside" in results.get(c.name, {})]
    if not done:
        return "#### Students beside their teachers\n\nnot run\n"
    arms = dict.fromkeys(r["config"]["arm"] for r in done)
    lines = [
        "#### Students beside their teachers", "",
        "Seconds from a file to a file on the machine of the table below, one thread; weights in "
        "float32. The difference is to the teachers' mean, of Dice over the classes' mean; "
        "intervals over patients of the first seed.", "",
        "| student | runs | weights (MB) | teacher's | seconds a case | teacher's | their mean's | "
        "Dice - their mean's [95 % CI], by class, first seed |",
        "|" + " --- |" * 8,
    ]  # fmt: skip
    for arm in arms:
        own = [r for r in done if r["config"]["arm"] == arm]
        models = [{m["name"]: m for m in r["beside"]["models"]} for r in own]
        solo = [[m for n, m in found.items() if n not in (MEAN, STUDENT)] for found in models]
        differences = [
            d
            for d in own[0]["beside"]["splits"]["test"]["differences"]
            if d["to"] == MEAN and d["question"] == "target"
        ]
        told = "; ".join(
            f"{d['class']} {d['mean']:+.3f} [{d['low']:+.3f}, {d['high']:+.3f}]"
            for d in differences
        )
        row = [
            arm,
            str(len(own)),
            _megabytes(mean(m[STUDENT]["parameters"] for m in models)),
            _megabytes(mean(t["parameters"] for found in solo for t in found)),
            f"{mean(m[STUDENT]['seconds_per_case'] for m in models):.2f}",
            f"{mean(t['seconds_per_case'] for found in solo for t in found):.2f}",
            f"{mean(m[MEAN]['seconds_per_case'] for m in models):.2f}",
            told,
        ]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join([*lines, ""])


def _megabytes(parameters: float) -> str:
    return f"{parameters * 4 / 1e6:.1f}"
