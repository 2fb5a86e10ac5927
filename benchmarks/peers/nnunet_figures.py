"""Plain supervised U-Net on ACDC and hippocampus, beside what nnU-Net reports there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.harness.cell import Cell, TrainCell
from benchmarks.harness.tables import Table

TITLE = "Plain U-Net beside nnU-Net's figures"
TEXT = """
ACDC with all 70 training patients (2D, fixed split of SSL4MIS, best
checkpoint on 10 validation patients, 20 test patients) and MSD hippocampus (3D, 200 training and 60
test cases of our fixed split; a fifth of the training cases validates). nnU-Net's own figures are
about .90 and more (ACDC; its 2D U-Net .91 in cross-validation) and about .89 (hippocampus), after
250,000 steps.
"""
STEPS = {"smoke": {"acdc": 4, "hippocampus": 4}, "cpu": {"acdc": 1000, "hippocampus": 1000},
         "paper": {"acdc": 250_000, "hippocampus": 250_000}}  # fmt: skip

SMALL = {
    "acdc": {"network_options": {"features": [16, 128]}, "batch_size": 6, "patch_size": [192, 192]},
    "hippocampus": {"network_options": {"features": [16, 128]}, "batch_size": 2},
}


def cells(size: str, seeds: int) -> list[Cell]:
    """One run a data set; nnU-Net's recipe (SGD, lr .01), at CPU size with half its width."""
    del seeds
    return [
        TrainCell(
            arm="U-Net, supervised", group="acdc", dataset="Dataset027_ACDC", labels="acdc.yaml",
            dims=2, memory=4.0, method="supervised", on=("leaves",),
            settings=_settings(size, "acdc"),
        ),
        TrainCell(
            arm="U-Net, supervised", group="hippocampus", dataset="Dataset004_Hippocampus",
            labels="hippocampus.yaml", dims=3, memory=4.0, method="supervised", on=("leaves",),
            settings=_settings(size, "hippocampus"),
        ),
    ]  # fmt: skip


def _settings(size: str, name: str) -> dict:
    steps = STEPS[size][name]
    if size == "paper":
        return {"steps": steps}
    return {
        "steps": steps,
        **SMALL[name],
        "validation": {"interval": -(-steps // 8), "mirror": False},
    }


def tables(size: str) -> list[Table]:
    """Both data sets."""
    named = (("Dice", "dice"), ("HD95", "hd95"), ("NSD", "nsd"))
    metrics = [(label, "target", (), metric) for label, metric in named]
    return [
        Table("ACDC, mean of RV, MYO, LV (20 test patients; distances in voxels)", "acdc", metrics,
              paper={"U-Net, supervised": "nnU-Net Dice ~ .90 - .92"}),
        Table("Hippocampus, mean of anterior and posterior (60 test cases)", "hippocampus", metrics,
              paper={"U-Net, supervised": "nnU-Net Dice ~ .89"}),
    ]  # fmt: skip


def page(size: str, all_cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """The validation curves: what more steps would still give."""
    lines = ["Mean validation Dice after so many steps:", ""]
    for cell in all_cells:
        found = results.get(cell.name)
        points = (
            "not run" if found is None else ", ".join(f"{s}: {v:.3f}" for s, v in found["curve"])
        )
        lines.append(f"- {cell.group}: {points}")
    return "\n".join(lines)
