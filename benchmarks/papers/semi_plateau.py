"""Semi-supervised methods until the supervised arm has reached its plateau: ACDC, few labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.harness.cell import ResampledCell
from benchmarks.harness.tables import Table

TITLE = "Semi-supervised methods at plateau"
TEXT = """
ACDC with 3 and with 7 labelled patients of 70 (splits.json), the recipe `fast`, one network,
patch, batch and number of steps for all arms; half of a batch is labelled in the semi-supervised
arms, all of it in the supervised one, which therefore sees twice as many labelled patches. CVBM and
BCP divide the steps into pre-training and self-training. The best checkpoint on validation patients
is reported (of the last phase), the last one beside it. Distances are in voxels.

CPU size: every fourth pixel, patches of 64x64, batches of 8, the U-Net with 8 to 64 channels, 3000
steps. GPU size: every second pixel, 112x112, batches of 16, 16 to 256 channels, 3000 steps,
made for ten minutes of one H100 with 16 cores. Paper size: every pixel, 256x256, batches of 24, 32
to 512 channels, 10,000 steps. "printed" are the losses as
the paper prints them: Dice of ring and box apart, and Dice of "not class k".
"""
LABELLED = ("3", "7")
PRINTED: Mapping[str, Any] = {"region": "printed"}
ARMS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "supervised": ("supervised", {}),
    "cvbm": ("cvbm", {}),
    "bcp": ("bcp", {}),
    "unimatch": ("unimatch", {}),
    "ad-mt": ("ad-mt", {}),
    "cvbm printed": ("cvbm", {**PRINTED, "complement": "printed"}),
    "bcp printed": ("bcp", PRINTED),
    "pseudo-label": ("pseudo-label", {}),
    "mean-teacher": ("mean-teacher", {}),
}
DECIDING = 4  # arms that are run for both numbers of labels before any other
SETTINGS: dict[str, dict[str, Any]] = {
    "smoke": {"steps": 8, "batch_size": 8, "patch_size": [64, 64],
              "network_options": {"features": [4, 8]},
              "validation": {"interval": 4, "mirror": False}},
    "cpu": {"steps": 3000, "batch_size": 8, "patch_size": [64, 64],
            "network_options": {"features": [8, 64]}, "validation": {"interval": 250}},
    "gpu": {"steps": 2000, "batch_size": 16, "patch_size": [112, 112],
            "network_options": {"features": [16, 256]},
            "validation": {"interval": 500, "mirror": False}},
    "paper": {"steps": 10000, "batch_size": 24, "patch_size": [256, 256],
              "network_options": {"features": [32, 512]}, "validation": {"interval": 500}},
}  # fmt: skip
STEP = {"smoke": 4.0, "cpu": 4.0, "gpu": 2.0, "paper": 1.0}
PUBLISHED = {
    "3": {"supervised": "47.83", "bcp": "87.59", "cvbm": "87.85"},
    "7": {"supervised": "79.41", "bcp": "88.84", "cvbm": "89.98"},
}


def cells(size: str, seeds: int) -> list[ResampledCell]:
    """One seed of every arm before the next seed, the deciding arms first."""
    settings = SETTINGS[size]
    names = list(ARMS)
    parts = (names[:DECIDING], names[DECIDING:])
    return [
        ResampledCell(
            arm, seed, f"acdc-{labelled}", dataset="Dataset027_ACDC", labels="acdc.yaml",
            method=ARMS[arm][0], options=dict(ARMS[arm][1]),
            settings={"recipe": "fast", **settings}, labelled=labelled, dims=2, memory=2.0,
            step=STEP[size],
        )
        for seed in range(seeds)
        for part in parts
        for labelled in reversed(LABELLED)
        for arm in part
    ]  # fmt: skip


def tables(size: str) -> list[Table]:
    """One table for each number of labelled patients."""
    del size
    columns = [("Dice", "target", (), "dice"), ("HD95", "target", (), "hd95")]
    return [
        Table(
            f"{n} labelled patients", f"acdc-{n}", columns, baseline="supervised",
            paper=PUBLISHED[n],
        )
        for n in LABELLED
    ]  # fmt: skip
