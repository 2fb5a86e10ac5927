"""A cell of a benchmark: one training run, or one measurement, with everything that defines it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from benchmarks.harness.lesions import of_lesions
from hinterland.data.dataset.read import read_dataset
from hinterland.data.planning.plan_dataset import PlanOptions, plan_dataset
from hinterland.evaluation.metrics.metric import Shown
from hinterland.evaluation.metrics.registry import metrics_shown
from hinterland.phantoms.dataset import make_phantoms
from hinterland.training.config import make_config
from hinterland.training.runs.request import RunRequest, parse_fold
from hinterland.training.runs.run import Run
from hinterland.training.runs.run_training import run_or_resume
from hinterland.types import Dataset, Plan

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
KEPT = ("case", "class", "coarsening", "group", *metrics_shown(Shown.SUMMARY),
        "reference_voxels", "prediction_voxels")  # fmt: skip


def data_root() -> Path:
    """HINTERLAND_DATA, or ../shared/data beside the checkout."""
    return Path(os.environ.get("HINTERLAND_DATA") or ROOT.parent / "shared" / "data")


def work_root() -> Path:
    """Where run directories go: HINTERLAND_BENCH_RUNS, or `runs/benchmarks` in the checkout."""
    return Path(os.environ.get("HINTERLAND_BENCH_RUNS") or ROOT / "runs" / "benchmarks")


@dataclass(frozen=True)
class Cell:
    """What every cell has. `arm` names the row of the table, `group` the table it belongs to."""

    arm: str
    seed: int = 0
    group: str = ""
    fold: str = "fixed"

    @property
    def name(self) -> str:
        """A file name that no other cell of the benchmark has."""
        text = f"{self.group}--{self.arm}--fold{self.fold}--seed{self.seed}"
        return "".join(c if c.isalnum() or c in "-._" else "_" for c in text)

    @property
    def key(self) -> str:
        """Changes with anything that defines the cell; a result with another key is stale."""
        text = json.dumps(
            {"kind": type(self).__name__, **asdict(self)}, sort_keys=True, default=str
        )
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def blocked(self) -> str:
        """Why the cell cannot run on this machine; "" where it can."""
        return ""

    def run(self, folder: Path) -> dict[str, Any]:
        """Do the work; what is returned goes into the result file. `folder` is the cell's own."""
        raise TypeError(f"{type(self).__name__} does not say how it runs")


@dataclass(frozen=True)
class TrainCell(Cell):
    """One training run on one data set, evaluated as `hinterland train` does.

    dataset: a folder name under the data root, or `phantom` / `null-phantom` (made with the seed).
    labels: a file of examples/labels, or None for the data set's own. settings: of TrainConfig,
    nested. dims, memory: of the plan.
    """

    dataset: str = "phantom"
    labels: str | None = None
    method: str = "supervised"
    on: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    labelled: str | None = None
    fine: str | None = None
    dims: Literal[2, 3] | None = None
    memory: float = 8.0

    def run(self, folder: Path) -> dict[str, Any]:
        return collect(self.trained(folder))

    def trained(self, folder: Path) -> Run:
        """The finished run of this cell, trained or gone on with if need be."""
        return run_or_resume(self.request(self.read()), folder / "run")

    def request(self, data: Dataset) -> RunRequest:
        """What is asked of its run."""
        labels = ROOT / "examples" / "labels" / self.labels if self.labels else ""
        return RunRequest(
            data,
            self.method,
            self.on,
            self.options,
            labels=str(labels),
            fold=parse_fold(self.fold),
            labelled=self.labelled,
            fine=self.fine,
            plan=self.plan(data),
            config=make_config({**self.settings, "seed": self.seed}),
        )

    def plan(self, data: Dataset) -> Plan:
        """The plan of the data set."""
        return plan_dataset(data, PlanOptions(self.dims, self.memory))

    def read(self) -> Dataset:
        """The data set."""
        if self.dataset.endswith("phantom"):
            return read_dataset(phantom(self.dataset, self.seed))
        labels = ROOT / "examples" / "labels" / self.labels if self.labels else None
        return read_dataset(data_root() / self.dataset, labels)


@dataclass(frozen=True)
class ResampledCell(TrainCell):
    """A run on images resampled to every `step`-th pixel (1: as they are)."""

    step: float = 1.0

    def plan(self, data: Dataset) -> Plan:
        plan = super().plan(data)
        if self.step == 1:
            return plan
        z, y, x = plan.median_shape
        return replace(
            plan,
            spacing=(plan.spacing[0], *(s * self.step for s in plan.spacing[1:])),
            median_shape=(z, round(y / self.step), round(x / self.step)),
        )


def phantom(kind: str, seed: int) -> Path:
    """The phantom data set of a seed, made once."""
    null = kind.startswith("null")
    return made_phantoms(f"{kind}-{seed}", seed=seed, kind="null" if null else "informative")


def made_phantoms(name: str, **asked: Any) -> Path:
    """Phantoms of a name, made once; `asked` is for `make_phantoms`."""
    folder = work_root() / "data" / name
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        make_phantoms(folder, **asked)
    return folder


def collect(run: Run) -> dict[str, Any]:
    """What a finished run contributes: figures, per-case table, both checkpoints, protocol."""
    record, summary = run.record, run.summary
    rows: dict[str, Sequence[Any]] = {}
    for which, suffix in ((run.reported, ""), ("last" if run.reported == "best" else "best", "-")):
        file = run.path / ("metrics.csv" if not suffix else f"metrics-{which}.csv")
        if file.is_file():
            table = pd.read_csv(file)
            kept = table[[c for c in KEPT if c in table.columns]].round(5)
            rows[which] = json.loads(kept.to_json(orient="split", index=False))
    return {
        "summary": summary,
        "cases": rows,
        "reported": run.reported,
        "selection": record.selection,
        "split_sizes": {k: len(v) for k, v in record.split.items()},
        "dataset_fingerprint": record.plan.fingerprint,
        "plan": {"patch": record.plan.patch_size, "batch": record.plan.batch_size,
                 "features": record.plan.network.features, "spacing": record.plan.spacing},
        "seconds_training": summary["seconds_training"],
        "curve": curve(run.path / "log.csv"),
        "decoding": "sums",
        **of_lesions(run),
    }  # fmt: skip


def curve(log: Path) -> list[list[float]]:
    """(steps done, validation Dice) at each validation."""
    table = pd.read_csv(log)
    table = table[table["key"] == "val/dice"]
    return [
        [int(s) + 1, round(float(v), 4)] for s, v in zip(table["step"], table["value"], strict=True)
    ]
