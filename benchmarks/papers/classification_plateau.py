"""Segmentation for classification with the recipe `fast`, until its networks have converged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.cell import Cell
from benchmarks.papers.classification import classified
from benchmarks.papers.classification_rules import VARIANTS, auroc_by_rule
from benchmarks.papers.classification_trunks import (
    CE_ONLY,
    HALF_REAL,
    SIZES,
    Trunk,
    busi,
    labelled,
    plan_of,
    steps_of,
)
from hinterland.classification.train import ClassifierRequest

TITLE = "Segmentation for classification at plateau (paper 5)"
TEXT = """
BUSI, its fixed split (156 test images): AUROC of "lesion present" and "malignant", seeds averaged.
Masks come from one U-Net with a channel for each leaf; the rule (Algorithms 1 and 2) makes image
labels of them. Classifiers see the same images, as many a step, with the same augmentation. All use
the recipe `fast` unless a row says otherwise. BUSI names no patients and has near-duplicates, so
intervals over images are too short; the spread over seeds (network and drawn labels) is given.

CPU size: 64x64 pixels, batches of 8, the U-Net with 8 to 64 channels. Paper size: 224x224, batches
of 16, ten times the steps.
"""
TASKS = {"lesion": "lesion present", "class=malignant": "malignant"}
LONG, SHORT = 1600, 400
TRUNKS: dict[str, Trunk] = {
    "masks, CE, 400 steps": Trunk(SHORT, options=CE_ONLY),
    "masks, CE, 1600 steps": Trunk(LONG, options=CE_ONLY),
    "masks, Dice + CE, 400 steps": Trunk(SHORT),
    "masks, Dice + CE, 1600 steps": Trunk(LONG),
    "masks, checkpoint by AUROC": Trunk(LONG, select="auroc"),
    "masks, last checkpoint": Trunk(LONG, select="last"),
    "semi": Trunk(LONG, pseudo="semi"),
    "boosted": Trunk(LONG, pseudo="boosted"),
    "boosted, half of a batch real": Trunk(LONG, options=HALF_REAL, pseudo="boosted"),
    "boosted, teacher's weights": Trunk(LONG, pseudo="boosted", from_teacher=True),
    "boosted, both": Trunk(LONG, options=HALF_REAL, pseudo="boosted", from_teacher=True),
    "mean teacher": Trunk(LONG, "mean-teacher"),
    "image labels as annotation": Trunk(LONG, image_labels=True),
}
IMAGES: dict[str, tuple[str, int, Mapping[str, Any]]] = {
    "images, 400 steps": ("small", SHORT, {"recipe": "fast"}),
    "images, 1600 steps": ("small", LONG, {"recipe": "fast"}),
    "images, 1600 steps, Adam 1e-3": ("small", LONG, {"optimiser": {"lr": 1e-3}}),
    "images, the U-Net's encoder, 1600 steps": ("unet-encoder", LONG, {"recipe": "fast"}),
    "images, ResNet50, 1600 steps": ("resnet50", LONG, {"optimiser": {"lr": 1e-3}}),
}
HEADS: dict[str, tuple[str, str]] = {
    "head on masks, fully connected": ("fully-connected", ""),
    "head on masks, pooled": ("pool", ""),
    "head on a feature map, simple, shallow": ("simple", "shallow"),
    "head on a feature map, simple, deep": ("simple", "deep"),
}
HEAD_STEPS = 2000
FEW = ("semi", "boosted", "boosted, half of a batch real", "boosted, teacher's weights",
       "boosted, both", "mean teacher", "image labels as annotation")  # fmt: skip
CURVE = ("masks, Dice + CE, 1600 steps", "images, 1600 steps")
MORE = ("masks, checkpoint by AUROC", "masks, last checkpoint", "images, ResNet50, 1600 steps",
        *HEADS)  # fmt: skip


@dataclass(frozen=True)
class PlateauCell(Cell):
    """One arm with one share of the labels: both tasks."""

    size: str = "cpu"
    share: str = "100"

    def run(self, folder: Path) -> dict[str, Any]:
        return {"tasks": {task: self._one(task, folder) for task in TASKS}}

    def _one(self, task: str, folder: Path) -> dict[str, Any]:
        out = folder / "".join(c if c.isalnum() else "-" for c in task)
        run, result = classified(out, lambda: self._asked(task))
        if self.arm in TRUNKS:
            result["variants"] = auroc_by_rule(run)
        return result

    def _asked(self, task: str) -> ClassifierRequest:
        few = labelled(self.share, self.seed)
        if self.arm in TRUNKS:
            run = TRUNKS[self.arm].trained(self.size, self.share, self.seed)
            return ClassifierRequest(run, task, "rule")
        canvas = tuple(SIZES[self.size]["patch_size"])
        common = {
            "seed": self.seed,
            "precision": "fp32",
            "batch_size": SIZES[self.size]["batch_size"],
        }
        if self.arm in HEADS:
            by, embedding = HEADS[self.arm]
            run = TRUNKS[CURVE[0]].trained(self.size, self.share, self.seed)
            settings = {**common, **_validated(steps_of(self.size, HEAD_STEPS))}
            return ClassifierRequest(
                run, task, by, embedding, canvas=canvas, labelled=few, settings=settings
            )
        by, steps, own = IMAGES[self.arm]
        settings = {**common, **own, **_validated(steps_of(self.size, steps))}
        data = busi()
        return ClassifierRequest(
            data, task, by, canvas=canvas, plan=plan_of(data, self.size), labelled=few,
            settings=settings,
        )  # fmt: skip


def _validated(steps: int) -> dict[str, Any]:
    return {"steps": steps, "validation": {"interval": max(1, steps // 8)}}


def cells(size: str, seeds: int) -> list[Cell]:
    """What decides, then all arms and the learning curve, then checkpoints and heads."""
    main = [a for a in (*TRUNKS, *IMAGES) if a not in (*FEW, *MORE)]
    deciding = [(arm, share) for share in ("10", "100") for arm in CURVE]
    deciding += [("boosted", "10"), ("boosted, both", "10")]
    first = [(arm, share) for share in ("10", "100") for arm in main]
    first += [(arm, "10") for arm in FEW]
    first += [(arm, share) for share in ("5", "25", "50") for arm in CURVE]
    rest = [(arm, share) for share in ("10", "100") for arm in MORE]
    asked = [
        (arm, share, seed)
        for part in (deciding, first, rest)
        for seed in range(seeds)
        for arm, share in part
    ]
    return [
        PlateauCell(arm, seed, f"{share} %", size=size, share=share)
        for arm, share, seed in dict.fromkeys(asked)
    ]


def page(size: str, cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """The tables as Markdown: arms, rules, and the curve over shares."""
    del size
    parts = [_arms(share, cells, results) for share in ("10", "100")]
    return "\n".join([*parts, _rules(cells, results), _curve(cells, results)])


def _arms(
    share: str, cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]
) -> str:  # fmt: skip
    lines = _head(f"{share} % of the training labels", ["arm", "runs", *TASKS.values(),
                  "recall of lesions", "strict recall"])  # fmt: skip
    for arm, (done, asked) in _by_arm(f"{share} %", cells, results).items():
        figures = [_figure([auroc(r, task) for r in done]) for task in TASKS]
        found = [_figure([_recall(r, key) for r in done]) for key in ("recall", "strict_recall")]
        lines.append(_row([arm, f"{len(done)}/{asked}", *figures, *found]))
    return "\n".join([*lines, ""])


def _rules(cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """AUROC of each way to read the same masks: the mean over tasks, shares and seeds."""
    lines = _head("One set of masks, several rules", ["masks", "task", "runs", *VARIANTS])
    for arm in TRUNKS:
        done = [results[c.name] for c in cells if c.arm == arm and c.name in results]
        for task, text in TASKS.items():
            found = [[r["tasks"][task]["variants"][v] for r in done] for v in VARIANTS]
            lines.append(_row([arm, text, str(len(done)), *map(_figure, found)]))
    return "\n".join([*lines, ""])


def _curve(cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    heads = [f"{arm}: {text}" for arm in CURVE for text in TASKS.values()]
    lines = _head("Learning curve (Fig. 7 of the paper)", ["share of the labels", *heads])
    for share in ("5", "10", "25", "50", "100"):
        row = [f"{share} %"]
        for arm in CURVE:
            done, _ = _by_arm(f"{share} %", cells, results).get(arm, ([], 0))
            row += [_figure([auroc(r, task) for r in done]) for task in TASKS]
        lines.append(_row(row))
    return "\n".join([*lines, ""])


def _by_arm(
    group: str, cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]
) -> dict[str, tuple[list[Mapping[str, Any]], int]]:
    found: dict[str, tuple[list[Mapping[str, Any]], int]] = {}
    for cell in cells:
        if cell.group == group:
            done, asked = found.setdefault(cell.arm, ([], 0))
            if cell.name in results:
                done.append(results[cell.name])
            found[cell.arm] = (done, asked + 1)
    return found


def auroc(result: Mapping[str, Any], task: str) -> float:
    """The AUROC on test images."""
    rows = result["tasks"][task]["metrics"]
    return next(m["value"] for m in rows if m["metric"] == "auroc" and m["subgroup"] == "all")


def _recall(result: Mapping[str, Any], metric: str) -> float:
    rows = result["tasks"]["lesion"]["metrics"]
    values = [m["value"] for m in rows if m["metric"] == metric and m["subgroup"] == "all"]
    return values[0] if values and values[0] is not None else float("nan")


def _figure(values: Sequence[float]) -> str:
    known = [v for v in values if v is not None and np.isfinite(v)]
    if not known:
        return "not run" if not values else "none"
    text = f"{np.mean(known):.3f}"
    return text + (f" ± {np.std(known, ddof=1):.3f}" if len(known) > 1 else "")


def _head(title: str, columns: Sequence[str]) -> list[str]:
    return [f"#### {title}", "", _row(columns), "|" + " --- |" * len(columns)]


def _row(values: Sequence[str]) -> str:
    return "| " + " | ".join(values) + " |"
