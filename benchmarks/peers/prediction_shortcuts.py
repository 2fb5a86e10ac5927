"""Faster prediction against the full one: Dice on test cases, seconds, memory; an arm a line."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness.cell import KEPT, ROOT, Cell, TrainCell, made_phantoms, work_root
from benchmarks.harness.tables import Table

if TYPE_CHECKING:
    from hinterland.inference.volumes import Predictor
    from hinterland.training.runs.run import Run
    from hinterland.types import Dataset

TITLE = "Prediction, faster: mirroring, --fast, and what they change"
TEXT = """
One trained model a data set, which every arm predicts the same test cases with (evenly spread over
the test split), from file to file, on one thread. Tiles overlap by half in every arm. "Seconds" are
those of one busy core for a case (processor time: other work shared the machine), "MiB" the largest
resident size of the process, libraries and all. Differences of Dice are to the full prediction with
mirroring, paired by case. The models were trained for minutes: what is compared are arms, and no
figure stands for what a data set allows.
"""
FULL = "full, mirrored"
Make = Callable[["Run"], "Predictor"]
ARMS: dict[str, Make] = {
    FULL: lambda run: run.predictor(mirror=True),
    "full": lambda run: run.predictor(mirror=False),
    "fast, mirrored": lambda run: run.predictor(mirror=True, fast=True),
    "fast": lambda run: run.predictor(mirror=False, fast=True),
}
"""Name -> the predictor of a trained run. What predicts in another way is one more line."""


@dataclass(frozen=True)
class Track:
    """A data set, how its model is trained, and how many test cases are predicted."""

    dataset: str
    labels: str
    dims: int
    settings: Mapping[str, Any]
    cases: int = 8
    memory: float = 2.0


LARGE = "large-phantom"
EDGE = 112  # voxels of a large phantom; tiles are 32
SMALL = {"recipe": "fast", "network_options": {"features": [16, 128]}}
TRACKS = {
    "left atrium, 3D": Track(
        "Dataset101_LA_half", "la.yaml", 3,
        {**SMALL, "steps": 250, "patch_size": [24, 40, 40], "batch_size": 2,
         "validation": {"interval": 250}},
        cases=5, memory=0.25,
    ),
    "infection of the lung, 2D": Track(
        "Dataset115_COVID19CT", "covid19ct.yaml", 2,
        {**SMALL, "steps": 250, "patch_size": [64, 64], "batch_size": 8,
         "validation": {"interval": 250}},
        cases=5,
    ),
    "lesions in large scans, 3D phantoms": Track(
        LARGE, "", 3,
        {"recipe": "fast", "network_options": {"features": [8, 64]}, "steps": 400,
         "patch_size": [32, 32, 32], "batch_size": 4, "validation": {"interval": 400}},
        cases=4,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class ShortcutCell(TrainCell):
    """One arm on one data set. The model is trained once, for all arms."""

    most: int = 8

    def read(self) -> Dataset:
        if self.dataset != LARGE:
            return super().read()
        from hinterland.data.dataset.read import read_dataset

        name = f"{LARGE}-{self.seed}"
        return read_dataset(made_phantoms(name, cases=(10, 2, 4), seed=self.seed, size=EDGE))

    def run(self, folder: Path) -> dict[str, Any]:
        """Train or open the model; predict in a process of its own; evaluate."""
        from hinterland.training.runs.outcome import evaluate_run_predictions, evaluated_cases

        run = self.model()
        me = [sys.executable, "-m", "benchmarks.peers.prediction_shortcuts"]
        out = folder / "predictions"
        subprocess.run(
            [*me, str(run.path), self.arm, str(self.most), str(out)], cwd=ROOT, check=True
        )
        cases = spread(evaluated_cases(run, run.dataset)[0], self.most)
        table = evaluate_run_predictions(run, run.dataset, tuple(cases), out)
        kept = table[[c for c in KEPT if c in table.columns]].round(5)
        return {
            "cases": {run.reported: json.loads(kept.to_json(orient="split", index=False))},
            "reported": run.reported,
            "decoding": "sums",
            "dataset_fingerprint": run.record.plan.fingerprint,
            "measured": json.loads((folder / "measured.json").read_text()),
        }

    def model(self) -> Run:
        """Open the model, trained by the first cell that needs it while the others wait."""
        from hinterland.training.runs.run import Run
        from hinterland.training.runs.run_training import run_or_resume

        models = work_root() / "prediction_shortcuts" / "models"
        models.mkdir(parents=True, exist_ok=True)
        at = models / f"{self.group}-{self.settings['steps']}-seed{self.seed}"
        trained, request = at / "trained", self.request(self.read())
        with at.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if trained.is_file() and not request.differences(Run(at).record):
                return Run(at)
            run = run_or_resume(request, at, finish=False)
            trained.touch()
        return run


def spread(cases: Sequence[Any], most: int) -> list[Any]:
    """`most` of the cases, evenly spread over them."""
    count = min(most, len(cases))
    return [cases[i * len(cases) // count] for i in range(count)]


def predict(model: Path, arm: str, most: int, out: Path) -> None:
    """Predict the test cases of a run by an arm; write seconds and memory beside the folder."""
    import torch

    from benchmarks.peers.prediction_sides import peak_mib
    from hinterland.training.runs.outcome import evaluated_cases
    from hinterland.training.runs.run import Run

    torch.set_num_threads(1)
    run = Run(model)
    cases = spread(evaluated_cases(run, run.dataset)[0], most)
    predictor = ARMS[arm](run)
    before, busy, started = peak_mib(), time.process_time(), time.perf_counter()
    run.predict(cases, out, predictor=predictor, overwrite=True)
    content = {
        "seconds": (time.process_time() - busy) / len(cases),
        "wall": (time.perf_counter() - started) / len(cases),
        "peak_mib": peak_mib(),
        "before_mib": before,
        "cases": len(cases),
    }
    (out.parent / "measured.json").write_text(json.dumps(content))


def cells(size: str, seeds: int) -> list[Cell]:
    """Every arm on every data set."""
    found: list[Cell] = []
    for seed in range(1 if size == "cpu" else seeds):
        for name, track in TRACKS.items():
            settings, most = dict(track.settings), track.cases
            if size == "smoke":
                tiny = {"features": [4, 8]}
                settings |= {"steps": 2, "network_options": tiny, "validation": {"interval": 2}}
                most = 1
            elif size != "cpu":
                settings, most = {"recipe": "nnunet", "steps": 25_000}, 10_000
            found += [
                ShortcutCell(
                    arm, seed, name, dataset=track.dataset, labels=track.labels or None,
                    dims=track.dims, memory=track.memory, settings=settings, most=most,  # type: ignore[arg-type]
                )
                for arm in ARMS
            ]  # fmt: skip
    return found


def tables(size: str) -> list[Table]:
    """Dice of each data set, with differences to the full prediction."""
    del size
    columns = [("Dice", "target", (), "dice"), ("NSD", "target", (), "nsd")]
    return [Table(f"{name}: test cases", name, columns, baseline=FULL) for name in TRACKS]


def page(size: str, all_cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """Seconds and memory of each arm."""
    del size
    lines = [
        "| data set | arm | cases | seconds a case | of the full, mirrored | MiB |",
        "|" + " --- |" * 6,
    ]
    full: dict[tuple[str, int], float] = {}
    for cell in all_cells:
        found = results.get(cell.name, {}).get("measured")
        if found is None:
            lines.append(f"| {cell.group} | {cell.arm} |" + " not run |" * 4)
            continue
        if cell.arm == FULL:
            full[cell.group, cell.seed] = found["seconds"]
        whole = full.get((cell.group, cell.seed))
        share = f"{found['seconds'] / whole:.2f}" if whole else "-"
        lines.append(
            f"| {cell.group} | {cell.arm} | {found['cases']} | {found['seconds']:.2f} | {share} "
            f"| {found['peak_mib']:.0f} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    predict(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
