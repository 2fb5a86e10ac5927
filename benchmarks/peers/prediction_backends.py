"""Dice, seconds and memory of prediction by each backend, int8 too, on test cases of real data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.cell import ROOT, Cell, ResampledCell
from benchmarks.peers.race import TRACKS

TITLE = "Backends: Dice, seconds and memory of onnxruntime, OpenVINO and int8"
TEXT = """
A network of the race (recipe `fast`), trained once; each backend then predicts the test cases from
file to file, without mirroring, on one thread, in a process of its own. Seconds are of processor
time and begin with the first file; memory is the largest resident size of the process (VmHWM).
Converting and calibrating came before. int8 was calibrated on training cases and judged on
validation cases, as `hinterland quantise` does, here with a tolerance of 1 so that it is shown
whatever it loses; below the table stands whether the default tolerance of .01 would have refused
it. Dice is the mean over the test cases, policy `penalty`.
"""
BACKENDS = ("torch", "onnxruntime", "openvino", "openvino-int8")


@dataclass(frozen=True)
class BackendsCell(ResampledCell):
    """One trained network, all backends one after the other."""

    tiles: int = 128

    def run(self, folder: Path) -> dict[str, Any]:
        from hinterland.evaluation.folders import evaluate_folders
        from hinterland.training.runs.quantise import quantise

        run = self.trained(folder)
        if not (run.path / "int8").is_dir():
            found = quantise(run, tolerance=1, tiles=self.tiles)
            (folder / "int8.json").write_text(json.dumps(asdict(found) | {"lost": found.losses}))
        measured = {}
        cases = run.record.cases(run.dataset, "test")
        for backend in BACKENDS:
            if backend not in ("torch", "openvino-int8"):
                run.predictor(backend=backend, accelerator="cpu")  # converted before it is measured
            out = folder / f"{backend}.json"
            if not out.is_file():
                command = [sys.executable, "-m", "benchmarks.peers.prediction_by_backend",
                           str(run.path), backend, str(out)]  # fmt: skip
                environment = {**os.environ, "OMP_NUM_THREADS": "1"}
                subprocess.run(command, cwd=ROOT, env=environment, check=True)
            table = evaluate_folders(
                out.with_suffix(""), cases, spec=run.record.spec, extra=True,
                at={"target": run.record.spec.target},
            )  # fmt: skip
            dice = {str(k): float(v) for k, v in table.groupby("class")["dice"].mean().items()}
            measured[backend] = json.loads(out.read_text()) | {"dice": dice}
        int8 = json.loads((folder / "int8.json").read_text())
        return {"measured": measured, "int8": int8, "test_cases": len(cases)}


def cells(size: str, seeds: int) -> list[Cell]:
    """A network in 2D and one in 3D."""
    del seeds
    steps = {"smoke": 4, "cpu": 250, "gpu": 1000, "paper": 4000}[size]
    found: list[Cell] = []
    for name in ("Hippocampus 3D", "ACDC 2D"):
        track = TRACKS[name]
        small = size in ("smoke", "cpu")
        settings = {"steps": steps, "recipe": "fast", **(track.cpu if small else {})}
        found.append(
            BackendsCell(
                arm=name, dataset=track.dataset, labels=track.labels, settings=settings,
                dims=track.dims,  # type: ignore[arg-type]
                on=("leaves",), memory=2.0 if small else 8.0, step=track.step if small else 1.0,
            )
        )  # fmt: skip
    return found


def page(size: str, all_cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """A row a backend."""
    lines = [
        "| network | backend | Dice of each class on test cases | largest loss against torch "
        "| seconds a case | times torch | peak MiB |",
        "|" + " --- |" * 7,
    ]
    notes = []
    for cell in all_cells:
        found = results.get(cell.name)
        if found is None:
            lines.append(f"| {cell.arm} |" + " not run |" * 6)
            continue
        base, cases = found["measured"]["torch"], found["test_cases"]
        for backend, one in found["measured"].items():
            dice = ", ".join(f"{name} {value:.4f}" for name, value in one["dice"].items())
            lost = max(base["dice"][name] - value for name, value in one["dice"].items())
            lines.append(
                f"| {cell.arm}, {cases} cases | {backend} | {dice} | {lost:+.4f} "
                f"| {one['cpu_seconds'] / cases:.2f} "
                f"| {base['cpu_seconds'] / one['cpu_seconds']:.2f} | {one['peak_mib']:.0f} |"
            )
        int8 = found["int8"]
        lost = max(int8["lost"].values())
        notes.append(
            f"{cell.arm}: on {int8['cases']} validation cases int8 lost at most {lost:+.4f} "
            f"({'refused' if lost > 0.01 else 'allowed'} at .01); a tile took "
            f"{int8['seconds'][0]:.3f} s in full precision and {int8['seconds'][1]:.3f} s in int8."
        )
    return "\n".join([*lines, "", *notes])
