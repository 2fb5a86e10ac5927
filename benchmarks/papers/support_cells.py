"""Cells of the benchmark of support structures: runs, advice, and supports by an own model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.cell import Cell, TrainCell
from hinterland.studies.supports.arms import BINARY, Arm
from hinterland.training.config import make_config
from hinterland.training.runs.fine_tuning import tuned_settings
from hinterland.training.runs.request import RunRequest, parse_fold
from hinterland.training.runs.run import Run
from hinterland.training.runs.run_training import run_or_resume
from hinterland.types import Dataset

ORGANS = ("LV", "RV", "normal")


@dataclass(frozen=True)
class SupportCell(TrainCell):
    """A training run with what paper 1 varies; see `studies.supports.arms.Arm`.

    init_from: the arm of the same group, fold and seed that it starts from. whole: the steps of a
    run from scratch.
    """

    naive: bool = False
    noise: float | None = None
    virtual: int = 0
    init_from: str = ""
    whole: int = 0

    def request(self, data: Dataset) -> RunRequest:
        return replace(
            super().request(data), naive=self.naive, noise=self.noise, virtual=self.virtual
        )

    def trained(self, folder: Path) -> Run:
        request = self.request(self.read())
        if self.init_from:
            config = make_config({**tuned_settings(self.settings), "seed": self.seed})
            request = replace(request, init_from=self.baseline(folder).path, config=config)
        return run_or_resume(request, folder / "run")

    def baseline(self, folder: Path) -> Run:
        """The binary run beside this one; its own cell finds it when its turn comes."""
        plain = support_cell(Arm(BINARY), self)
        return plain.trained(folder.parent / plain.name)


def support_cell(arm: Arm, base: SupportCell) -> SupportCell:
    """The cell of an arm; `base` has data, group, fold, seed and the settings of a full run."""
    settings = merge(base.settings, arm.settings)
    settings["steps"] = max(1, round(base.whole * arm.steps))
    interval = -(-settings["steps"] // 4) if base.fold == "fixed" else settings["steps"]
    if "validation" in settings:
        settings["validation"] = {**settings["validation"], "interval": interval}
    return replace(
        base, arm=arm.name, on=arm.on, init_from=arm.init_from, settings=settings, **arm.changes
    )


def merge(settings: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with others over them, one level deep."""
    nested = {k: {**settings.get(k, {}), **v} for k, v in more.items() if isinstance(v, Mapping)}
    return {**settings, **more, **nested}


@dataclass(frozen=True)
class AdviceCell(Cell):
    """`advise supports` on the data of `base`, with its binary run as baseline."""

    base: SupportCell = field(default_factory=SupportCell)
    steps: int = 200

    def run(self, folder: Path) -> dict[str, Any]:
        from hinterland.studies.supports.advice import Question, advise_supports

        baseline = self.base.baseline(folder)
        settings = {k: v for k, v in self.base.settings.items() if k != "steps"}
        fold = parse_fold(self.fold)
        question = Question(fold=fold, steps=self.steps, seed=self.seed, settings=settings)
        data = self.base.read()
        if not (folder / "advice" / "probe" / "config.yaml").is_file():
            shutil.rmtree(folder / "advice", ignore_errors=True)
        advice = advise_supports(
            data, question, folder / "advice", baseline=baseline, plan=self.base.plan(data)
        )
        return {"advice": advice.to_dict(), "dataset_fingerprint": baseline.record.plan.fingerprint}


@dataclass(frozen=True)
class OrganCell(SupportCell):
    """BackSplit where half of the training patients have supports by a model of the other half.

    source: "model" labels the second half; "half" leaves it without supports (marginal); "truth"
    gives all their true supports.
    """

    source: str = "model"

    def trained(self, folder: Path) -> Any:
        return super().trained(folder) if self.source != "half" else self._half(folder)

    def run(self, folder: Path) -> dict[str, Any]:
        result = super().run(folder)
        quality = self._folder() / "quality.json"
        return {
            **result,
            **({"organs": json.loads(quality.read_text())} if quality.is_file() else {}),
        }

    def _half(self, folder: Path) -> Any:
        listed = self._list(folder)
        plain = {k: v for k, v in vars(self).items() if k != "source"}
        return SupportCell(**{**plain, "fine": f"{listed}@target"}).trained(folder)

    def read(self) -> Any:
        return super().read() if self.source != "model" else self._labelled()

    def _halves(self) -> tuple[list[str], list[str]]:
        """The training patients of this fold, in order, and their first half's cases."""
        from hinterland.data.dataset.splits import fold as make_fold

        data = SupportCell.read(self)
        train = [c for c in make_fold(data, int(self.fold), self.seed).train if c.labelled]
        groups = list(dict.fromkeys(c.group for c in train))
        first = set(groups[: len(groups) // 2])
        return [c.name for c in train if c.group in first], [
            c.name for c in train if c.group not in first
        ]

    def _list(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "first-half.txt"
        path.write_text("\n".join(self._halves()[0]) + "\n")
        return path

    def _labelled(self) -> Any:
        """The data set in which the second half's supports are the organ model's."""
        from hinterland.data.dataset.read import read_dataset
        from hinterland.labels import CaseSettings
        from hinterland.studies.supports.own import OwnModel
        from hinterland.supports.add import add_supports

        folder = self._folder()
        out = folder / "labelled"
        second = self._halves()[1]
        if not (out / "labels.yaml").is_file():
            shutil.rmtree(out, ignore_errors=True)
            organs = SupportCell(
                arm="organs", seed=self.seed, group=self.group, fold="all",
                dataset=self.dataset, labels=self.labels, on=("/".join(ORGANS),), dims=self.dims,
                memory=self.memory, settings=self.settings, whole=self.whole,
                labelled=str(self._list(folder)),
            ).trained(folder / "organs")  # fmt: skip
            data = SupportCell.read(self)
            undrawn = {n: CaseSettings("lesion") for n in second}
            spec = replace(data.labels, cases={**data.labels.cases, **undrawn})
            lesions = read_dataset(data.root, spec)
            source = OwnModel(organs.path)
            add_supports(lesions, source, out, [lesions[n] for n in second], list(ORGANS))
            made = read_dataset(out)
            quality = organ_quality(data, made, second)
            (folder / "quality.json").write_text(json.dumps(quality))
        return read_dataset(out)

    def _folder(self) -> Path:
        from benchmarks.harness.cell import work_root

        folder = work_root() / "supports" / "organs" / f"{self.key}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def organ_quality(truth: Any, made: Any, names: Sequence[str]) -> dict[str, float]:
    """Mean Dice over cases of each organ's model labels with the true ones."""
    from hinterland.data.io.volume import read_label

    found: dict[str, list[float]] = {organ: [] for organ in ORGANS}
    for name in names:
        true, own = truth[name], made[name]
        pair = [
            (read_label(c.label).array, c.scheme, d.labels) for c, d in ((true, truth), (own, made))
        ]
        for organ in ORGANS:
            masks = []
            for array, scheme, labels in pair:
                leaf = labels.tree.leaves_under(organ)
                values = [v for v, s in labels.scheme(scheme).label_values.items() if s == leaf]
                masks.append(np.isin(array, values))
            size = masks[0].sum() + masks[1].sum()
            found[organ].append(float(2 * (masks[0] & masks[1]).sum() / size) if size else 1.0)
    return {organ: round(float(np.mean(values)), 4) for organ, values in found.items()}
