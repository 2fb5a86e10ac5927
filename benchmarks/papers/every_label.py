"""Every method with every label: fine, coarse and unlabelled cases in one run, on MyoPS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.harness.cell import Cell, ResampledCell
from benchmarks.harness.tables import Table

TITLE = "Every label in one run: fine, coarse and none"
TEXT = """
MyoPS, all five folds by patient, the last checkpoint. Of the training patients of a fold, 4 have
all leaves (edema and scar among them), 8 have LV, RV and myocardium ("coarse": one of the leaves
below), and the others no label. All arms train on the leaves with the recipe `fast`, one network,
patch, batch and number of steps; they differ in what they are given, and in what is made of it: the
marginal loss of coarse labels, a teacher for unlabelled cases, or both in one run. "all fine" has
every leaf of every training patient. Distances are in voxels.

CPU size: every second pixel, patches of 64x64, batches of 8, the U-Net with 16 to 64 channels, 800
steps. Paper size: every pixel, the plan's patch, 40,000 steps.
"""
FINE, LABELLED, COARSE_LEVEL = "4", "12", "LV/RV/myocardium"
GROUP = "myops-every-label"
FOLDS = 5
BOTH = {"labelled": LABELLED, "fine": f"{FINE}@{COARSE_LEVEL}"}
ONLY_FINE = {"labelled": FINE}
ARMS: dict[str, tuple[str, Mapping[str, str]]] = {
    "fine": ("supervised", ONLY_FINE),
    "fine + coarse": ("supervised", BOTH),
    "fine + none, BCP": ("bcp", ONLY_FINE),
    "fine + coarse + none, BCP": ("bcp", BOTH),
    "fine + none, mean teacher": ("mean-teacher", ONLY_FINE),
    "fine + coarse + none, mean teacher": ("mean-teacher", BOTH),
    "all fine": ("supervised", {}),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "smoke": {"steps": 4, "batch_size": 4, "patch_size": [64, 64],
              "network_options": {"features": [4, 8]}},
    "cpu": {"steps": 800, "batch_size": 8, "patch_size": [64, 64],
            "network_options": {"features": [16, 64]}},
    "paper": {"steps": 40_000},
}  # fmt: skip
STEP = {"smoke": 2.0, "cpu": 2.0, "paper": 1.0}


def cells(size: str, seeds: int) -> list[Cell]:
    """Seed by seed and fold by fold, all arms of a fold."""
    settings = {"recipe": "fast", **SETTINGS[size]}
    settings["validation"] = {"interval": settings["steps"], "mirror": False}
    return [
        ResampledCell(
            arm, seed, GROUP, str(fold), dataset="Dataset116_MyoPS", labels="myops.yaml",
            method=method, on=("leaves",), settings=settings, dims=2, memory=2.0, step=STEP[size],
            **given,  # type: ignore[arg-type]
        )
        for seed in range(seeds)
        for fold in range(FOLDS)
        for arm, (method, given) in ARMS.items()
    ]  # fmt: skip


def tables(size: str) -> list[Table]:
    """Dice of the two classes of the target, and HD95 of both."""
    del size
    columns = [("mean Dice", "target", (), "dice"), ("edema", "target", ("edema",), "dice"),
               ("scar", "target", ("scar",), "dice"), ("HD95", "target", (), "hd95")]  # fmt: skip
    return [Table("Edema and scar, out-of-fold", GROUP, columns, baseline="fine")]
