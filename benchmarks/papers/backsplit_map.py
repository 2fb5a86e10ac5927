"""Where BackSplit helps: its gain as a function of lesion size and of look-alikes, on phantoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.harness.cell import Cell, TrainCell, made_phantoms
from benchmarks.harness.tables import Table, per_case
from hinterland.data.dataset.read import read_dataset
from hinterland.evaluation.statistics.difference import paired_difference
from hinterland.phantoms.anatomy import PhantomParameters
from hinterland.types import Dataset

TITLE = "Where BackSplit helps: lesion size and look-alikes"
TEXT = """
Phantoms of 48^3 voxels (24 patients to train, 6 to validate, 24 to test) whose lesions live in one
organ and whose look-alikes, drawn from the same distribution, in another; see PhantomParameters.
Rows are the mean radius of a lesion, as a share of the side, and how many look-alikes a patient
has; each is a data set of its own. Binary training against training on all leaves: one network,
patch, batch and steps, recipe `fast`, the last checkpoint, asked for the lesion. "organ" is the
volume of a lesion of that radius in the organ's, for their mean semi-axes.

CPU size: whole phantoms in batches of 2, the U-Net with 8 to 64 channels, 500 steps.
"""
RADII = (0.025, 0.035, 0.05, 0.07)
MIMICS = {"none": (0, 0), "1 to 3": (1, 3), "4 to 6": (4, 6)}
SPREAD = 0.2  # of a lesion's radius about the mean of its row
CASES = (24, 6, 24)
DICE = ("Dice", "target", (), "dice")
ARMS = {"binary": ("target",), "leaves": ("leaves",)}
SETTINGS: dict[str, dict[str, Any]] = {
    "smoke": {"steps": 4, "batch_size": 2, "patch_size": [16, 16, 16],
              "network_options": {"features": [4, 8]}},
    "cpu": {"steps": 500, "batch_size": 2, "patch_size": [48, 48, 48],
            "network_options": {"features": [8, 64]}},
    "paper": {"steps": 5_000, "batch_size": 2, "patch_size": [48, 48, 48]},
}  # fmt: skip


@dataclass(frozen=True)
class MapCell(TrainCell):
    """An arm on the phantoms of one radius and number of look-alikes."""

    radius: float = 0.05
    mimics: tuple[int, int] = (1, 3)

    def read(self) -> Dataset:
        return read_dataset(phantoms(self.radius, self.mimics, self.seed))


def phantoms(radius: float, mimics: tuple[int, int], seed: int) -> Path:
    """The phantoms of a row, made once."""
    small, large = (radius * (1 + s) for s in (-SPREAD, SPREAD))
    parameters = replace(PhantomParameters(), radius=(small, large), mimics=mimics)
    name = f"map-{radius:g}-{mimics[0]}-{mimics[1]}-{seed}"
    return made_phantoms(name, cases=CASES, seed=seed, parameters=parameters)


def cells(size: str, seeds: int) -> list[Cell]:
    """Seed by seed, the extremes of the map first, both arms of a row together."""
    rows = sorted(
        ((radius, word) for radius in RADII for word in MIMICS),
        key=lambda row: (row[1] == "1 to 3") + (row[0] in RADII[1:-1]),
    )
    settings = {"recipe": "fast", **SETTINGS[size]}
    settings["validation"] = {"interval": settings["steps"], "mirror": False}
    return [
        MapCell(
            arm, seed, _group(radius, word), dataset="phantom", on=on, dims=3, memory=2.0,
            settings=settings, radius=radius, mimics=MIMICS[word],
        )
        for seed in range(seeds)
        for radius, word in rows
        for arm, on in ARMS.items()
    ]  # fmt: skip


def _group(radius: float, word: str) -> str:
    return f"radius {radius:g}, look-alikes {word}"


def tables(size: str) -> list[Table]:
    """One map in `page` says it all."""
    del size
    return []


def page(size: str, cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """The map as Markdown: Dice of both arms and the paired difference of every row."""
    del size
    lines = ["| radius | organ | look-alikes | runs | binary | leaves | difference [95 % CI]; p |",
             "|" + " --- |" * 7]  # fmt: skip
    for radius in RADII:
        for word in MIMICS:
            own = [c for c in cells if c.group == _group(radius, word) and c.name in results]
            found = {arm: [results[c.name] for c in own if c.arm == arm] for arm in ARMS}
            counted = " / ".join(str(len(v)) for v in found.values())
            row = [f"{radius:g}", f"{100 * _share(radius):.2f} %", word, counted, *_row(found)]
            lines.append("| " + " | ".join(row) + " |")
    return "\n".join([*lines, ""])


def _share(radius: float) -> float:
    """The volume of a lesion in the organ's."""
    smallest, largest = PhantomParameters().host.size
    return (2 * radius / (smallest + largest)) ** 3


def _row(found: Mapping[str, list[Mapping[str, Any]]]) -> list[str]:
    values = {arm: per_case(results, DICE) for arm, results in found.items()}
    means = [f"{v.mean():.3f}" if len(v) else "not run" for v in values.values()]
    if not all(map(len, values.values())):
        return [*means, "not run"]
    both = (values["leaves"] - values["binary"]).dropna()
    seen = paired_difference(both, both.index.get_level_values("case"))
    return [*means, f"{seen.mean:+.3f} [{seen.low:+.3f}, {seen.high:+.3f}]; p = {seen.p:.2g}"]
