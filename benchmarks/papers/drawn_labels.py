"""Runs whose labelled patients are drawn, not the first of a list."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.harness.cell import ResampledCell, collect
from hinterland.training.runs.run import Run
from hinterland.training.runs.run_training import run_or_resume
from hinterland.types import Dataset


def shuffled_patients(data: Dataset, seed: int) -> list[str]:
    """The training patients with labels, in an order of chance that depends on the seed alone."""
    patients = sorted({c.group or c.name for c in data.train if c.labelled})
    random.Random(seed).shuffle(patients)
    return patients


def patients_file(file: Path, patients: Iterable[str]) -> str:
    """Write names as `--labelled FILE` reads them, and return the path as text."""
    file.write_text("\n".join(patients) + "\n", encoding="utf-8")
    return str(file)


@dataclass(frozen=True)
class DrawnCell(ResampledCell):
    """One method with a draw of labelled patients; the draw's number is the seed."""

    patients: int = 3

    def run(self, folder: Path) -> dict[str, Any]:
        drawn = shuffled_patients(self.read(), self.seed)[: self.patients]
        return {**collect(self.trained(folder)), "labelled_patients": drawn}

    def trained(self, folder: Path) -> Run:
        data = self.read()
        drawn = shuffled_patients(data, self.seed)[: self.patients]
        few = patients_file(folder / "labelled.txt", drawn)
        return run_or_resume(replace(self.request(data), labelled=few), folder / "run")
