"""BackSplit against binary at plateau: scars of MyoPS, all folds, with the recipe `fast`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.harness.cell import Cell, TrainCell
from benchmarks.harness.lesions import lesion_section
from benchmarks.harness.tables import Table
from benchmarks.papers.backsplit import ANY_CLASS, sampling

TITLE = "BackSplit at plateau: scars of MyoPS"
TEXT = """
The recipe `fast`, one network, patch, batch and number of steps for all arms; only the partition
that the loss sees differs, and all are asked for the scar. All five folds by patient, so that every
patient with labels is tested once, by the last checkpoint: nothing is selected, and nothing
validated on the way. "+ X" adds one support structure, "leaves" all of them, "leaves + target" also
asks the binary question. Patches that must show foreground are centred on the scar in every arm;
"any class" is nnU-Net's rule, which centres on every class of the partition.

CPU size: patches of 128x128, batches of 4, the U-Net with 16 to 64 channels, 800 steps. Paper size:
the plan's network and patches, 250,000 steps.
"""
ARMS: dict[str, tuple[str, ...]] = {
    "binary": ("target",),
    "leaves": ("leaves",),
    "leaves + target": ("leaves", "target"),
    "+ LV": ("target/LV",),
    "+ normal": ("target/normal",),
    "leaves" + ANY_CLASS: ("leaves",),
}
DECIDING = 3  # arms that are run on all folds before any other
GROUP = "myops-scar"
FOLDS = 5
SETTINGS: dict[str, dict[str, Any]] = {
    "smoke": {"steps": 4, "batch_size": 4, "patch_size": [64, 64],
              "network_options": {"features": [4, 8]}},
    "cpu": {"steps": 800, "batch_size": 4, "patch_size": [128, 128],
            "network_options": {"features": [16, 64]}},
    "gpu": {"steps": 2000, "batch_size": 8, "patch_size": [192, 192],
            "network_options": {"features": [16, 256]}},
    "paper": {"steps": 250_000},
}  # fmt: skip


def cells(size: str, seeds: int) -> list[Cell]:
    """Seed by seed and fold by fold, the deciding arms first."""
    names = list(ARMS)
    return [
        _cell(size, arm, seed, fold)
        for part in (names[:DECIDING], names[DECIDING:])
        for seed in range(seeds)
        for fold in range(FOLDS)
        for arm in part
    ]


def _cell(size: str, arm: str, seed: int, fold: int) -> TrainCell:
    steps = SETTINGS[size]["steps"]
    validation = {"interval": steps, "mirror": False}  # on folds nothing is selected
    return TrainCell(
        arm, seed, GROUP, str(fold), dataset="Dataset116_MyoPS", labels="myops-scar.yaml",
        on=ARMS[arm], dims=2, memory=8.0 if size == "paper" else 2.0,
        settings={"recipe": "fast", **SETTINGS[size], "validation": validation, **sampling(arm)},
    )  # fmt: skip


def tables(size: str) -> list[Table]:
    """Dice, HD95 and NSD of the scar."""
    del size
    metrics = (("Dice", "dice"), ("HD95", "hd95"), ("NSD", "nsd"))
    columns = [(name, "target", ("scar",), metric) for name, metric in metrics]
    return [Table("Scar, out-of-fold", GROUP, columns, baseline="binary")]


def page(size: str, all_cells: list[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """Scars found, and false positives by structure."""
    del size
    return lesion_section("Scar, out-of-fold", GROUP, all_cells, results)
