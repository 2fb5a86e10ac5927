"""A run exported to nnU-Net and predicted there from the raw images, held against ours."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.cell import ROOT, Cell, TrainCell

TITLE = "Exported models in a plain nnU-Net"
TEXT = """
A trained run is exported with `hinterland export --to nnunet`; an nnU-Net
installation without Hinterland loads the folder and predicts the raw images through its own
preprocessing. Agreement is the share of equal labels over all voxels of the test cases; Dice is
between both segmentations, the least over cases that contain the class. Ours predicts in float32,
as nnU-Net does on a CPU; nnU-Net adds its tiles up in float16.
"""
SCRIPT = ROOT / "tests" / "export" / "nnunet_script.py"


@dataclass(frozen=True)
class ExportCell(TrainCell):
    """Train briefly, export, predict with both, compare. cases: how many test cases."""

    cases: int = 4

    def run(self, folder: Path) -> dict[str, Any]:
        from hinterland.data.io.volume import file_ending, read_volume
        from hinterland.training.runs.run import Run

        result = super().run(folder)
        run = Run(folder / "run")
        chosen = run.record.cases(run.dataset, "test")[: self.cases]
        theirs = export(run, folder / "model")
        ours_folder = run.predict(
            chosen, folder / "ours", predictor=run.predictor(precision="fp32"), overwrite=True
        )
        ours = json.loads((ours_folder / "dataset.json").read_text())["labels"]
        images = folder / "images"
        images.mkdir(exist_ok=True)
        for case in chosen:
            for i, image in enumerate(case.images):
                link = images / f"{case.name}_{i:04d}{file_ending(image)}"
                link.unlink(missing_ok=True)
                link.symlink_to(image.resolve())
        predict_with_nnunet(folder / "model", images, folder / "theirs")
        equal = total = 0
        dice: dict[str, list[float]] = {name: [] for name in ours}
        for case in chosen:
            name = f"{case.name}{file_ending(case.images[0])}"
            a, b = (read_volume(folder / w / name).array[0] for w in ("ours", "theirs"))
            same = np.zeros(a.shape, bool)
            for label, value in ours.items():
                x, y = a == value, b == theirs[label]
                same |= x & y
                if x.any() or y.any():
                    dice[label].append(2 * float((x & y).sum()) / float(x.sum() + y.sum()))
            equal, total = equal + int(same.sum()), total + a.size
        agreement = {
            "cases": len(chosen),
            "voxels": total,
            "equal": equal / total,
            "least_dice": {k: min(v) for k, v in dice.items() if v},
        }
        return {**result, "agreement": agreement}


def export(run: Any, out: Path) -> dict[str, int]:
    """The exported folder; returns the integer that nnU-Net writes for each class."""
    import shutil

    from hinterland.data.io.volume import file_ending
    from hinterland.export.nnunet import export_nnunet
    from hinterland.labels import group_values

    shutil.rmtree(out, ignore_errors=True)
    record, method = run.record, run.method
    return export_nnunet(
        method.deployed(run.networks()).state_dict(), record.train.network, record.plan,
        group_values(method.cells, record.spec.default_scheme), out,
        mirror=tuple(range(record.plan.dims)),
        file_ending=file_ending(run.dataset.cases[0].images[0]),
    )  # fmt: skip


def predict_with_nnunet(model: Path, images: Path, out: Path) -> None:
    """nnU-Net's own prediction of raw images, in a process of the other installation."""
    import shutil

    python = os.environ.get("HINTERLAND_NNUNET_PYTHON")
    if not python:
        raise SystemExit("set HINTERLAND_NNUNET_PYTHON to a Python that has nnunetv2")
    shutil.rmtree(out, ignore_errors=True)
    folders = dict.fromkeys(("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"), str(model))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | folders
    command = [python, str(SCRIPT), str(model), "images", str(images), str(out)]
    subprocess.run(command, env=environment, check=True)


def cells(size: str, seeds: int) -> list[Cell]:
    """2D with several tiles and three channels, and 3D."""
    del seeds
    steps = {"smoke": 3, "cpu": 150, "paper": 250_000}[size]
    small = {} if size == "paper" else {
        "network_options": {"features": [16, 64]}, "batch_size": 2,
        "validation": {"interval": steps}, "optimiser": {"optimiser": "adamw", "lr": 2e-3},
    }  # fmt: skip
    return [
        ExportCell(arm="MyoPS, 2D, leaves", dataset="Dataset116_MyoPS", labels="myops.yaml", dims=2,
                   memory=2.0, method="backsplit", settings={"steps": steps, **small,
                   **({} if size == "paper" else {"patch_size": [160, 160]})}),
        ExportCell(arm="Hippocampus, 3D, leaves", dataset="Dataset004_Hippocampus",
                   labels="hippocampus.yaml", dims=3, memory=2.0, method="backsplit",
                   settings={"steps": steps, **small}),
    ]  # fmt: skip


def page(size: str, all_cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """Agreement and least Dice of each run."""
    lines = ["| run | cases | voxels | equal labels | least Dice of a class |",
             "|" + " --- |" * 5]  # fmt: skip
    for cell in all_cells:
        found = results.get(cell.name)
        if found is None:
            lines.append(f"| {cell.arm} |" + " not run |" * 4)
            continue
        a = found["agreement"]
        worst = min(a["least_dice"].items(), key=lambda item: item[1])
        lines.append(f"| {cell.arm} | {a['cases']} | {a['voxels']:,} | {100 * a['equal']:.4f} % "
                     f"| {worst[1]:.4f} ({worst[0]}) |")  # fmt: skip
    return "\n".join(lines)
