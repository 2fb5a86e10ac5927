"""The segmentation runs that the arms of the classification benchmark at plateau share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.harness.cell import ROOT, data_root, work_root
from benchmarks.papers.classification_data import few_names
from hinterland.classification.dataset.relabel import relabel
from hinterland.data.dataset.read import read_dataset
from hinterland.data.planning.plan_dataset import PlanOptions, plan_dataset
from hinterland.training.config import make_config
from hinterland.training.runs.request import RunRequest
from hinterland.training.runs.run import Run
from hinterland.training.runs.run_training import run_or_resume
from hinterland.types import Dataset, Plan

LABELS = "busi-classes.yaml"
SIZES: dict[str, dict[str, Any]] = {
    "smoke": {"batch_size": 4, "patch_size": [64, 64], "network_options": {"features": [4, 8]}},
    "cpu": {"batch_size": 8, "patch_size": [64, 64], "network_options": {"features": [8, 64]}},
    "paper": {"batch_size": 16, "patch_size": [224, 224]},
}
SPACING = {"smoke": 4.0, "cpu": 4.0, "paper": 256 / 224}
SHARES = {"5": 0.05, "10": 0.1, "25": 0.25, "50": 0.5, "100": 1.0}
CE_ONLY: Mapping[str, Any] = {"dice_weight": 0.0}
HALF_REAL: Mapping[str, Any] = {"shares": {"pseudo": 0.5}}
VALIDATIONS = 4


@dataclass(frozen=True)
class Trunk:
    """One segmentation run on BUSI.

    steps: of the training. options: of the method. select: how its best checkpoint is chosen.
    pseudo: "" trains on the labelled images alone; "semi" and "boosted" on the masks of that run
    for all others, too. from_teacher: the weights begin with that run's. image_labels: the other
    images keep their image label, and lose their mask only.
    """

    steps: int = 1600
    method: str = "supervised"
    options: Mapping[str, Any] = field(default_factory=dict)
    select: str = "dice"
    pseudo: str = ""
    from_teacher: bool = False
    image_labels: bool = False

    def trained(self, size: str, share: str, seed: int) -> Run:
        """The finished run, trained by the first cell that asks for it."""
        request = self._request(size, share, seed)
        return run_or_resume(request, self._folder(size, share, seed) / "run")

    def _request(self, size: str, share: str, seed: int) -> RunRequest:
        few, teacher = labelled(share, seed), None
        if self.pseudo:
            teacher = Trunk(self.steps).trained(size, share, seed)
            made = self._folder(size, share, seed) / "data"
            if not made.is_dir():
                relabel(teacher, made, boost=self.pseudo == "boosted", column="class")
            data, few = read_dataset(made), None
        else:
            data = busi()
        if self.image_labels and few:
            few += "@image"
        settings = {"recipe": "fast", **SIZES[size], "steps": steps_of(size, self.steps),
                    "seed": seed, "precision": "fp32"}  # fmt: skip
        settings["validation"] = {"interval": max(1, settings["steps"] // VALIDATIONS),
                                  "mirror": False, "select": self.select}  # fmt: skip
        return RunRequest(
            data, self.method, ("leaves",), dict(self.options), fold="fixed", labelled=few,
            init_from=teacher.path if teacher and self.from_teacher else None,
            plan=plan_of(data, size), config=make_config(settings),
        )  # fmt: skip

    def _folder(self, size: str, share: str, seed: int) -> Path:
        words = (self.steps, self.method, dict(self.options), self.select, self.pseudo,
                 self.from_teacher, self.image_labels, share, seed)  # fmt: skip
        name = "".join(c if c.isalnum() else "-" for c in "_".join(map(str, words)))
        return work_root() / "classify_plateau" / size / name


def steps_of(size: str, steps: int) -> int:
    """Steps of a run: those of the arm, four in a smoke test, ten times as many for the paper's."""
    return {"smoke": 4, "paper": 10 * steps}.get(size, steps)


def labelled(share: str, seed: int) -> str | None:
    """The file that lists this share of the training images; None where all are labelled."""
    return None if share == "100" else str(few_names(SHARES[share], seed))


def busi() -> Dataset:
    """BUSI with benign and malignant lesions."""
    return read_dataset(data_root() / "BUSI", ROOT / "examples" / "labels" / LABELS)


def plan_of(data: Dataset, size: str) -> Plan:
    """The plan in 2D, on the grid of this size."""
    plan = plan_dataset(data, PlanOptions(2, 2.0))
    return replace(plan, spacing=(plan.spacing[0], SPACING[size], SPACING[size]))
