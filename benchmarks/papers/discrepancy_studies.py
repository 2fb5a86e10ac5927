"""Cells and tables of data addition and noise: single runs of the studies in `hinterland study`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from benchmarks.harness.cell import ROOT, Cell, collect, data_root, work_root
from benchmarks.harness.tables import cases_of
from hinterland.evaluation.statistics.difference import paired_difference
from hinterland.studies.runner import WARM_START

Results = Mapping[str, Mapping[str, Any]]
REGIONS = ("foreground", "background", "image")
LABELS = {"none": "none", "fd": "L_fd", "fd+exch": "L_fd + L_exch", "con": "L_con",
          "deeps": "L_deeps"}  # fmt: skip


def _read(name: str, labels: str) -> Any:
    from hinterland.data.dataset.read import read_dataset

    return read_dataset(data_root() / name, ROOT / "examples" / "labels" / labels)


def figures(result: Mapping[str, Any]) -> dict[str, float]:
    """Mean Dice and IoU at the target of a result's reported checkpoint."""
    table = cases_of(result)
    table = table[table["coarsening"] == "target"]
    return {"dice": float(table["dice"].mean()), "iou": float(table["jaccard"].mean())}


@dataclass(frozen=True)
class AdditionCell(Cell):
    """One run of the data addition study: base STU, so many BUSI lesions added.

    The same steps whatever is added, in one schedule: as it was first measured.
    """

    fixed_steps: ClassVar[bool] = True
    warm_start: ClassVar[float] = 0.0

    loss: str = "none"
    added: int = 0
    steps: int = 200
    edge: int = 128
    settings: Mapping[str, Any] = field(default_factory=dict)

    def run(self, folder: Path) -> dict[str, Any]:
        from hinterland.studies.addition.study import (
            Addition,
            addition_requests,
            make_pool,
            step_divergences,
        )
        from hinterland.training.runs.run_training import run_or_resume

        base, novel = _read("STU", "stu.yaml"), _read("BUSI", "busi-lesions.yaml")
        size = (self.edge, self.edge)
        home = work_root() / "data" / f"stu-busi-{self.edge}"
        home.parent.mkdir(parents=True, exist_ok=True)
        pooled = make_pool(base, novel, home, size=size)
        asked = Addition(
            (self.added,), (self.loss,), self.seed + 1, self.steps, size, settings=self.settings,
            fixed_steps=self.fixed_steps, warm_start=self.warm_start,
        )  # fmt: skip
        request = addition_requests(pooled, asked, folder)[self.loss, self.added, self.seed]
        run = run_or_resume(request, folder / "run")
        distances = step_divergences(pooled, (self.added,))[self.added]
        return {
            **collect(run),
            "divergences": {k: None if math.isnan(v) else v for k, v in distances.items()},
            "base_cases": len(pooled.base),
        }


@dataclass(frozen=True)
class EpochAdditionCell(AdditionCell):
    """The same with steps in proportion to the cases, and two phases in every arm."""

    fixed_steps: ClassVar[bool] = False
    warm_start: ClassVar[float] = WARM_START


@dataclass(frozen=True)
class NoiseCell(Cell):
    """One run of the noise study on MoNuSeg; the clean ones are tested on noisy images, too.

    In one schedule, as it was first measured.
    """

    warm_start: ClassVar[float] = 0.0

    loss: str = "none"
    sigma: float = 0.0
    test_sigmas: tuple[float, ...] = ()
    steps: int = 150
    settings: Mapping[str, Any] = field(default_factory=dict)

    def run(self, folder: Path) -> dict[str, Any]:
        from hinterland.data.planning.plan_dataset import PlanOptions
        from hinterland.studies.noise import evaluate_on, figures_of, noisy_dataset
        from hinterland.studies.runner import regularisers
        from hinterland.training.config import make_config
        from hinterland.training.runs.request import RunRequest
        from hinterland.training.runs.run_training import run_or_resume

        data = _read("MoNuSeg", "monuseg.yaml")
        home = work_root() / "data"
        home.mkdir(parents=True, exist_ok=True)
        noisy = noisy_dataset(
            data, home / f"monuseg-train-{self.sigma:g}", self.sigma, noisy=("train",)
        )
        settings = {
            **self.settings, "steps": self.steps, "seed": self.seed,
            "regularisers": regularisers([self.loss])[self.loss],
        }  # fmt: skip
        request = RunRequest(
            noisy, options={"warm_start": self.warm_start} if self.warm_start else {},
            fold="fixed", plan=PlanOptions(2, 4.0), config=make_config(settings),
        )  # fmt: skip
        run = run_or_resume(request, folder / "run")
        tested = {}
        for sigma in self.test_sigmas:
            copy = noisy_dataset(
                data, home / f"monuseg-test-{sigma:g}", sigma, noisy=("test",), parts=("test",)
            )
            tested[f"{sigma:g}"] = figures_of(evaluate_on(run, copy, f"test-{sigma:g}"), data)
        return {**collect(run), "tested": tested}


@dataclass(frozen=True)
class TwoPhaseNoiseCell(NoiseCell):
    """The same with two phases in every arm."""

    warm_start: ClassVar[float] = WARM_START


def _table(
    rows: Mapping[str, Mapping[str, Sequence[float]]], columns: Sequence[str], first: str
) -> list[str]:
    """Markdown: mean over seeds, ± their standard deviation, number of runs in brackets."""
    lines = [f"| {first} | " + " | ".join(columns) + " |", "|" + " --- |" * (len(columns) + 1)]
    for name, values in rows.items():
        cells = []
        for column in columns:
            found = list(values.get(column, ()))
            if not found:
                cells.append("not run")
                continue
            spread = f" ± {np.std(found, ddof=1):.3f}" if len(found) > 1 else ""
            cells.append(f"{np.mean(found):.3f}{spread} ({len(found)})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def addition_table(
    cells: Sequence[Cell], results: Results, kind: type[AdditionCell] = AdditionCell
) -> str:
    """Dice on base for each loss and amount, and the divergences of each amount."""
    mine = [c for c in cells if type(c) is kind]
    amounts = sorted({c.added for c in mine})
    columns = [f"{n} added" for n in amounts]
    rows: dict[str, dict[str, list[float]]] = {LABELS[c.loss]: {} for c in mine}
    apart: dict[str, dict[str, list[float]]] = {
        f"{k} {region}": {} for region in REGIONS for k in ("KL", "JS")
    }
    for cell in mine:
        found = results.get(cell.name)
        if found is None:
            continue
        column = f"{cell.added} added"
        rows[LABELS[cell.loss]].setdefault(column, []).append(figures(found)["dice"])
        for region in REGIONS:
            for k in ("kl", "js"):
                value = found["divergences"][f"{k}_{region}"]
                if value is not None:
                    apart[f"{k.upper()} {region}"][column] = [value]
    lines = [
        "#### Data addition: base STU, BUSI lesions added, Dice on STU's test images; "
        + ("the same steps in every run, one schedule" if kind.fixed_steps
           else "steps in proportion to the cases, two phases"), "",
        *_table(rows, columns, "loss"),
        "Divergence of base's training images from the novel ones added so far, grey levels, "
        "nats (the number in brackets counts measurements):", "",
        *_table(apart, [c for c in columns if c != "0 added"], "divergence"),
        _drops(mine, results, amounts), "",
    ]  # fmt: skip
    return "\n".join(lines)


def _drops(cells: Sequence[AdditionCell], results: Results, amounts: Sequence[int]) -> str:
    """Largest amount against none, for each loss: paired by case, interval by bootstrap."""
    if len(amounts) < 2:
        return ""
    parts = []
    for loss in dict.fromkeys(c.loss for c in cells):
        tables = {}
        for added in (amounts[0], amounts[-1]):
            done = [results[c.name] for c in cells
                    if (c.loss, c.added) == (loss, added) and c.name in results]  # fmt: skip
            if done:
                frames = [cases_of(r).assign(seed=r["seed"]) for r in done]
                both = pd.concat(frames)
                tables[added] = both[both["coarsening"] == "target"].set_index(["seed", "case"])
        if len(tables) < 2:
            parts.append(f"{LABELS[loss]}: not run")
            continue
        change = (tables[amounts[-1]]["dice"] - tables[amounts[0]]["dice"]).dropna()
        found = paired_difference(change.groupby("case").mean())
        parts.append(f"{LABELS[loss]} {found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]")
    return (
        f"Change of Dice from {amounts[0]} to {amounts[-1]} added, paired by case, 95 % interval "
        "over cases: " + "; ".join(parts) + "."
    )


def noise_table(cells: Sequence[Cell], results: Results, kind: type[NoiseCell] = NoiseCell) -> str:
    """Dice on clean test images by the noise of training, and of clean runs by that of testing."""
    mine = [c for c in cells if type(c) is kind]
    sigmas = sorted({c.sigma for c in mine})
    columns = [f"{s:g}" for s in sigmas]
    trained: dict[str, dict[str, list[float]]] = {LABELS[c.loss]: {} for c in mine}
    tested: dict[str, dict[str, list[float]]] = {LABELS[c.loss]: {} for c in mine}
    for cell in mine:
        found = results.get(cell.name)
        if found is None:
            continue
        dice = figures(found)["dice"]
        trained[LABELS[cell.loss]].setdefault(f"{cell.sigma:g}", []).append(dice)
        if cell.sigma == 0:
            tested[LABELS[cell.loss]].setdefault("0", []).append(dice)
            for sigma, values in found["tested"].items():
                tested[LABELS[cell.loss]].setdefault(sigma, []).append(values["dice"])
    lines = [
        "#### Noise: MoNuSeg, NucleiSegNet, Dice; "
        + ("two phases" if kind.warm_start else "one schedule"), "",
        "Trained on images with noise of this sigma, tested on clean ones (the paper's figure 9):",
        "", *_table(trained, columns, "loss \\ sigma of training"),
        "Trained on clean images, tested on images with noise of this sigma:", "",
        *_table(tested, columns, "loss \\ sigma of testing"),
    ]  # fmt: skip
    return "\n".join(lines)
