"""What each part of the recipe `fast` is worth: it, with one part taken out or put in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from benchmarks.harness.cell import Cell, ResampledCell
from benchmarks.harness.tables import Table
from benchmarks.peers.race import FAST, TRACKS, our_cell

TITLE = "The parts of the recipe `fast`"
TEXT = """
The recipe with one part changed, on three data sets of the race; the test cases, by the last
checkpoint. CPU size: small images and networks, so that many runs fit: ACDC and BUSI with every
fourth pixel, 8 patches of 64x64, 8 to 64 channels, hippocampus with 2 patches of 32x40x32 and 8 to
64 channels; 300 steps. GPU and paper size: as the race, 1,000 steps.
"""
STEPS = {"smoke": 4, "cpu": 300, "gpu": 1000, "paper": 1000}
ON = ("ACDC 2D", "Hippocampus 3D", "BUSI")
NARROW = {"network_options": {"features": [8, 64]}}
SMALL: dict[str, tuple[float, Mapping[str, Any]]] = {
    "ACDC 2D": (4.0, {"patch_size": [64, 64], **NARROW}),
    "Hippocampus 3D": (1.0, {"patch_size": [32, 40, 32], **NARROW}),
    "BUSI": (4.0, {"patch_size": [64, 64], **NARROW}),
}
ADAMW = {"optimiser": "adamw", "lr": 3e-3, "weight_decay": 1e-2}
PARTS: dict[str, Mapping[str, Any]] = {
    "as it is": {},
    "AdamW 3e-3 instead of Muon": {"optimiser": ADAMW},
    "lr a third": {"optimiser": {"lr": 0.02}},
    "lr three times": {"optimiser": {"lr": 0.18}},
    "cosine": {"optimiser": {"schedule": "cosine"}},
    "no warm-up": {"optimiser": {"warmup_share": 0.0}},
    "averaged weights": {"averaging": 0.98},
    "growing patches": {"data": {"growing": True}},
    "no deep supervision": {"deep_supervision": False},
    "batch norm": {"network_options": {"norm": "batch"}},
    "half the patches on foreground": {"data": {"foreground": 0.5}},
    "half the batch": {"batch_size": 4},
}


def cells(size: str, seeds: int) -> list[Cell]:
    """One seed of everything before the next."""
    return [
        _changed(_whole(size, name, seed), part)
        for seed in range(seeds)
        for name in ON
        for part in PARTS
        if not (name == "Hippocampus 3D" and part == "half the batch")
    ]


def _whole(size: str, name: str, seed: int) -> ResampledCell:
    """The recipe as it is, validated once, at the end."""
    steps = STEPS[size]
    cell = our_cell(size, name, TRACKS[name], FAST, steps, seed)
    settings = {**cell.settings, "validation": {"interval": steps, "mirror": False}}
    if size != "cpu":
        return replace(cell, settings=settings)
    step, small = SMALL[name]
    return replace(cell, step=step, settings={**settings, **small})


def _changed(cell: ResampledCell, part: str) -> ResampledCell:
    settings = dict(cell.settings)
    for name, value in PARTS[part].items():
        known = settings.get(name)
        both = isinstance(value, Mapping) and isinstance(known, Mapping)
        settings[name] = {**known, **value} if both else value  # type: ignore[dict-item]
    return replace(cell, arm=part, settings=settings)


def tables(size: str) -> list[Table]:
    """One table for each data set, against the recipe as it is."""
    steps = STEPS[size]
    columns = [("Dice", "target", (), "dice")]
    return [Table(f"{name}, {steps:,} steps", name, columns, "as it is") for name in ON]
