"""How many labels does it take? Masks against image labels at growing shares of the patients.

Paper 5, figure 7: the x-axis is the share of labelled training patients, the y-axis AUROC on the
test cases. An arm is the rule on the masks of a segmentation network, the same after one more
training on its own masks (`semi`), on such masks corrected by image labels (`boosted`), or a
network from the image to the label. All arms of a share see the same patients and as many images.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from hinterland.classification.dataset.answers import Target, holds
from hinterland.classification.dataset.cases import targets_of, units_of, with_image_labels
from hinterland.classification.dataset.relabel import relabel
from hinterland.classification.dataset.task import Task
from hinterland.classification.evaluation.evaluate import evaluate_classifier
from hinterland.classification.fitting.operating_point import FILE
from hinterland.classification.model import RULE, Y_NET
from hinterland.classification.networks import IMAGE_CLASSIFIERS
from hinterland.classification.record import ClassifierRun
from hinterland.classification.train import ClassifierRequest, train_classifier
from hinterland.data.dataset.read import read_dataset
from hinterland.data.io.csv_text import csv_text
from hinterland.data.io.files import write_text
from hinterland.data.planning.plan_dataset import PlanOptions, plan_dataset
from hinterland.data.preprocessing.cache import prepare
from hinterland.studies.claim import claim
from hinterland.studies.learning_curve.scores import auroc_draws, curve, differences, draw
from hinterland.studies.learning_curve.subsets import nested_subsets
from hinterland.studies.runner import (
    Report,
    record_of_study,
    save_figure,
    train_all,
    write_summary,
    write_table,
)
from hinterland.training.config import make_config
from hinterland.training.runs.request import RunRequest
from hinterland.training.runs.run import Run
from hinterland.types import Dataset, HinterlandError, Plan

log = logging.getLogger(__name__)
SHARES = (5.0, 10.0, 25.0, 50.0, 100.0)
SEMI, BOOSTED = "semi", "boosted"
ON_MASKS = (RULE, SEMI, BOOSTED)
SEGMENTATION: dict[str, Any] = {
    "optimiser": {"optimiser": "adam", "lr": 1e-3},
    "validation": {"select": "auroc"},
    "image_label_weight": 0.0,
}
"""As `classify start` proposes, on masks alone; `settings` come after it."""


@dataclass(frozen=True)
class LearningCurve:
    """Settings of a study of labels.

    Attributes:
        task: what is asked; see `parse_task`.
        shares: per cent of the labelled training patients.
        arms: `rule`, `semi`, `boosted`, or networks on images.
        seeds: how many times patients are drawn and networks trained.
        steps: of every training; all have the same batch size.
        on: the coarsenings that the segmentation network learns.
        canvas: of the networks on images.
        settings: of the segmentation runs, nested, after `SEGMENTATION`.
        classifier: of the networks on images, nested.
        image_labels: a CSV file in place of the data set's own.
    """

    task: str
    shares: tuple[float, ...] = SHARES
    arms: tuple[str, ...] = (RULE, "resnet50")
    seeds: int = 3
    steps: int = 10_000
    on: tuple[str, ...] = ("leaves",)
    canvas: tuple[int, ...] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    classifier: Mapping[str, Any] = field(default_factory=dict)
    dims: Literal[2, 3] | None = None
    memory: float = 8.0
    image_labels: str = ""


def run_learning_curve(
    dataset: Dataset,
    asked: LearningCurve,
    out: Path | str,
    *,
    report: Report | None = None,
    stage: Callable[[str], None] | None = None,
    overwrite: bool = False,
    queue: Path | None = None,
) -> dict[str, Any]:
    """Train every arm at every share with every seed, and judge all on the test cases.

    Writes table.csv (one row a run, with recall, precision ... beside AUROC), curve.csv (mean AUROC
    and interval by arm and share), figure.png and summary.json into `out`. Called again after an
    interruption it goes on where it was.

    Args:
        dataset: the cases, with validation and test cases of their own.
        asked: task, shares, arms and seeds.
        out: the folder to write into.
        report: called with (done, of how many, message) within a stage.
        stage: called with what begins.
        overwrite: replace another study that is there.
        queue: the folder of a queue whose workers train the segmentation runs; None trains here.

    Returns:
        What summary.json holds.

    Raises:
        HinterlandError: an unknown arm, no validation or test cases, too few patients, or `out`
            holds another study.
    """
    out, say = Path(out), stage or log.info
    _check(dataset, asked)
    labels = Path(asked.image_labels) if asked.image_labels else None
    dataset = with_image_labels(dataset, labels)
    record = record_of_study(asked, dataset)
    claim(out, "labels", record, overwrite)
    say("reading labels")
    plan = plan_dataset(dataset, PlanOptions(asked.dims, asked.memory))
    task, targets = targets_of(dataset, asked.task, prepare(dataset, plan))
    work = _Work(dataset, asked, out, plan, task, targets, report, say, queue)
    work.choose(_patients(dataset, task, targets))
    done = [work.evaluated(*key) for key in work.order]
    draws: dict[tuple[str, float], list[np.ndarray]] = {}
    rows, patients = [], 0
    for (arm, share, seed), run in zip(work.order, done, strict=True):
        areas, patients = auroc_draws(run)
        draws.setdefault((arm, share), []).append(areas)
        row: dict[str, Any] = {"arm": arm, "share": share, "seed": seed}
        row |= {"patients": len(work.subsets[seed][share]), "auroc": areas[0]}
        rows.append({**row, **_rates(run), "run": str(run)})
    table, points = pd.DataFrame(rows), curve(draws, patients)
    write_table(table, out / "table.csv")
    write_table(pd.DataFrame(points), out / "curve.csv")
    _draw(points, table, f"{asked.task}, {dataset.root.name}", out / "figure.png")
    base = next((arm for arm in asked.arms if arm not in ON_MASKS), "")
    summary = {
        **record, "test_patients": patients,
        "curve": points, "differences": differences(draws, base, patients), "against": base,
        "table": str(out / "table.csv"), "figure": str(out / "figure.png"),
    }  # fmt: skip
    write_summary(summary, out)
    return summary


def _check(dataset: Dataset, asked: LearningCurve) -> None:
    known = (*ON_MASKS, *IMAGE_CLASSIFIERS, Y_NET)
    if not asked.arms or len(set(asked.arms)) < len(asked.arms) or set(asked.arms) - set(known):
        raise HinterlandError(
            f"arms {', '.join(asked.arms) or 'none'}: expected some of {', '.join(known)}, each "
            "once."
        )
    missing = [part for part in ("val", "test") if not dataset.of(part)]
    if missing:
        raise HinterlandError(
            f"{dataset.root} has no {' and no '.join(missing)} cases: all shares are judged on the "
            "same ones. List them in splits.json (`hinterland classify start` draws such a split)."
        )


def _patients(dataset: Dataset, task: Task, targets: Mapping[str, Target]) -> dict[str, Target]:
    """Find the answer for every training patient with a mask and an answer."""
    groups = {c.name: c.group or c.name for c in dataset.cases}
    names = [c.name for c in dataset.train if c.label is not None and c.name in targets]
    if not names:
        raise HinterlandError(
            f"no training case of {dataset.root} has a mask and an answer to {task.text!r}. "
            "Add masks, or image labels."
        )
    exclusive = len(task.classes) > 2 and not task.independent
    units = units_of(task, names, targets, groups, "case" if exclusive else "patient")
    return {groups[u] if exclusive else u: units.targets[u] for u in units.members}


@dataclass
class _Work:
    """The runs of a study, each made when it is first asked for."""

    dataset: Dataset
    asked: LearningCurve
    out: Path
    plan: Plan
    task: Task
    targets: Mapping[str, Target]
    report: Report | None
    say: Callable[[str], None]
    queue: Path | None
    subsets: dict[int, dict[float, tuple[str, ...]]] = field(default_factory=dict)
    runs: dict[tuple[str, float, int], Run] = field(default_factory=dict)

    @property
    def order(self) -> list[tuple[str, float, int]]:
        """All (arm, share, seed), seed by seed."""
        return [
            (arm, share, seed)
            for seed in range(self.asked.seeds)
            for share in sorted(set(self.asked.shares))
            for arm in self.asked.arms
            if share < 100 or arm not in (SEMI, BOOSTED)  # nothing is left to be labelled
        ]

    def choose(self, answers: Mapping[str, object]) -> None:
        """Draw the patients, and train the segmentation runs of all shares."""
        for seed in range(self.asked.seeds):
            self.subsets[seed] = nested_subsets(answers, self.asked.shares, seed)
            for share, patients in self.subsets[seed].items():
                write_text(self._list(share, seed), "\n".join(patients) + "\n")
        keys = dict.fromkeys((s, k) for arm, s, k in self.order if arm in ON_MASKS)
        if keys:
            self._segment({(RULE, *key): self._request(*key) for key in keys})
        for arm in (SEMI, BOOSTED):
            again = [(s, k) for own, s, k in self.order if own == arm]
            if again:
                self._segment({(arm, *key): self._again(arm, *key) for key in again})

    def evaluated(self, arm: str, share: float, seed: int) -> Path:
        """Train and judge one classifier, as far as that is not done; return its directory."""
        out = self.out / "runs" / f"{arm}-{share:g}-seed{seed}"
        if not (out / FILE).is_file():
            train_classifier(self._classifier(arm, share, seed), out, report=self.report,
                             stage=lambda text: self.say(f"{out.name}: {text}"))  # fmt: skip
        if not (out / "evaluation" / "summary.json").is_file():
            self.say(f"{out.name}: evaluating")
            evaluate_classifier(ClassifierRun(out), out / "evaluation", overwrite=True)
        return out

    def _list(self, share: float, seed: int) -> Path:
        return self.out / "data" / f"{share:g}-seed{seed}.txt"

    def _settings(self, own: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Give all arms the same steps and batch size: as many images."""
        return {"batch_size": self.asked.settings.get("batch_size", self.plan.batch_size),
                **own, "steps": self.asked.steps, "seed": seed}  # fmt: skip

    def _segment(self, requests: Mapping[tuple[str, float, int], RunRequest]) -> None:
        named = {f"segmentation-{arm}-{share:g}-seed{seed}": request
                 for (arm, share, seed), request in requests.items()}  # fmt: skip
        made = train_all(self.out / "runs", named, self.report, self.say, self.queue)
        self.runs |= dict(zip(requests, made, strict=True))

    def _request(self, share: float, seed: int) -> RunRequest:
        return self._run(self.dataset, seed, self.plan, str(self._list(share, seed).resolve()))

    def _run(self, dataset: Dataset, seed: int, plan: Plan, labelled: str | None) -> RunRequest:
        own = {**SEGMENTATION, **self.asked.settings}
        for name in ("optimiser", "validation"):
            own[name] = {**SEGMENTATION[name], **self.asked.settings.get(name, {})}
        config = make_config(self._settings(own, seed))
        return RunRequest(
            dataset, on=self.asked.on, fold="fixed", labelled=labelled, plan=plan, config=config
        )

    def _again(self, arm: str, share: float, seed: int) -> RunRequest:
        """Ask for the second training, on the masks that the first run gives the other patients."""
        folder = self.out / "data" / f"{arm}-{share:g}-seed{seed}"
        if not folder.is_dir():
            self.say(f"masks of {share:g} % for the rest")
            relabel(
                self.runs[RULE, share, seed], folder, boost=arm == BOOSTED,
                image_labels=self._table(),
                column=None if self.task.from_masks else self.task.column,
            )  # fmt: skip
        dataset = read_dataset(folder)
        plan = plan_dataset(dataset, PlanOptions(self.asked.dims, self.asked.memory))
        return self._run(dataset, seed, plan, None)

    def _table(self) -> Path:
        """Write the image labels, and what masks say of the task's nodes: what boosting knows."""
        rows = []
        for case in self.dataset.cases:
            row: dict[str, Any] = {"case": case.name, **case.image_labels}
            for index, node in enumerate(self.task.nodes):
                if node is not None and case.name in self.targets and node not in row:
                    row[node] = holds(self.targets[case.name], index)
            rows.append(row)
        file = self.out / "data" / "image_labels.csv"
        write_text(file, csv_text(pd.DataFrame(rows).convert_dtypes()))
        return file

    def _classifier(self, arm: str, share: float, seed: int) -> ClassifierRequest:
        labels = Path(self.asked.image_labels) if self.asked.image_labels else None
        if arm in ON_MASKS:
            run = self.runs[arm, share, seed]
            return ClassifierRequest(
                run, self.asked.task, RULE, image_labels=labels, settings={"seed": seed}
            )
        return ClassifierRequest(
            self.dataset, self.asked.task, arm, canvas=self.asked.canvas, plan=self.plan,
            labelled=str(self._list(share, seed).resolve()), image_labels=labels,
            settings=self._settings(self.asked.classifier, seed),
        )  # fmt: skip


def _rates(classifier: Path) -> dict[str, float]:
    """Return what else was measured: of the class asked for, or the mean over several."""
    file = classifier / "evaluation" / "summary.json"
    rows = json.loads(file.read_text(encoding="utf-8"))["metrics"]
    last = rows[-1]["class"]  # the mean stands last
    found = {r["metric"]: r["value"] for r in rows if r["class"] == last and r["subgroup"] == "all"}
    return {metric: value for metric, value in found.items() if metric != "auroc"}


def _draw(points: list[dict[str, Any]], table: pd.DataFrame, title: str, file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    draw(points, table, title, figure)
    save_figure(figure, file)
