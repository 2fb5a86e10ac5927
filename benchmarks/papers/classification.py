"""Image labels: classifiers, multitask, summarised segmentations, semi-supervised, boosted."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.harness.cell import ROOT, Cell, data_root, work_root

TITLE = "Segmentation for classification (paper 5)"
TEXT = """
AUROC on test images with a 95 % interval (1000 bootstraps over patients;
of one seed, the first). The rows of a table share one segmentation run for each share of labels and
seed (cross entropy alone, Adam): the rule and all summarising functions read its masks or feature
maps. Rule, calibration and thresholds are fitted on validation images, which keep their labels in
all rows. "semi" trains again on the masks that the run of few labels predicts for the rest;
"boosted" corrects them by the class of the image. Of three classes the AUROC is the mean of each
against the rest; the rule's score for "normal" is what the most probable lesion leaves. BUSI has no
patient names and near-duplicates, so intervals are too short. Size `cpu` has images at half size
(128 pixels), narrow networks and few steps, and `small` (four convolutions) for the paper's
classifiers.
"""
BUSI_TASKS = {"lesion": "lesion present", "class=malignant": "malignant", "class": "three classes"}
SHARES = {"10": 0.1, "100": 1.0}
RULE = "rule"
SUMMARISED: dict[str, tuple[str, str]] = {
    RULE: (RULE, ""),
    "fully connected": ("fully-connected", ""),
    "GAP + fully connected": ("pool", ""),
    "SqueezeNet on masks": ("squeezenet", ""),
    "ResNet50 on masks": ("resnet50", ""),
    "simple head, shallow": ("simple", "shallow"),
    "simple head, deep": ("simple", "deep"),
    "complex head, shallow": ("complex", "shallow"),
    "complex head, deep": ("complex", "deep"),
}
IMAGES: dict[str, tuple[str, ...]] = {
    "smoke": ("small", "y-net"),
    "cpu": ("small", "y-net"),
    "paper": ("resnet50", "resnet101", "seresnet50", "densenet121", "y-net"),
}
_CE = {"dice_weight": 0.0}
SEGMENTATION: dict[str, dict[str, Any]] = {
    "smoke": {"steps": 4, "batch_size": 4, "patch_size": [128, 128],
              "network_options": {"features": [4, 8]}},
    "cpu": {"steps": 400, "batch_size": 8, "patch_size": [128, 128],
            "network_options": {"features": [8, 64]}},
    "paper": {"steps": 25_000, "batch_size": 16, "patch_size": [256, 256]},
}  # fmt: skip
CLASSIFIER: dict[str, dict[str, Any]] = {
    "smoke": {"steps": 4, "batch_size": 8},
    "cpu": {"steps": 400, "batch_size": 16},
    "paper": {"steps": 10_000, "batch_size": 32},
}
CANVAS = {"smoke": (32, 32), "cpu": (96, 96), "paper": (224, 224)}
VOLUME = {"smoke": (8, 32, 32), "cpu": (8, 64, 64), "paper": (12, 160, 160)}
HEAD_STEPS = {"smoke": 4, "cpu": 150, "paper": 2_000}
SUMMARY_CANVAS = {"smoke": (32, 32), "cpu": (64, 64), "paper": (224, 224)}
ACDC = "ACDC diagnosis"
MARKED = "BUSI with a mark"


@dataclass(frozen=True)
class ClassifyCell(Cell):
    """One row of a table: an arm, for all tasks of its data, with one share of the labels."""

    size: str = "cpu"
    share: str = "100"

    def run(self, folder: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for task in tasks_of(self.group):
            out = folder / "".join(c if c.isalnum() else "-" for c in task)
            found[task] = self._one(task, out)
        return {"tasks": found}

    def _one(self, task: str, out: Path) -> dict[str, Any]:
        from hinterland.classification.evaluation.evaluate import evaluate_classifier

        marked = {"spurious": "mark"} if self.group == MARKED else {}
        run, result = classified(out, lambda: self._asked(task), **marked)
        if marked:
            aligned = evaluate_classifier(run, out / "aligned", overwrite=True, spurious="unmarked")
            result["aligned"] = [m for m in aligned["metrics"] if m["subgroup"] == "robust"]
        return result

    def _asked(self, task: str) -> Any:
        """The request of an arm."""
        from hinterland.classification.train import ClassifierRequest

        volume = self.group == ACDC
        settings = {**CLASSIFIER[self.size], "seed": self.seed, "precision": "fp32"}
        settings["validation"] = {"interval": max(1, settings["steps"] // 8)}
        size = (VOLUME if volume else CANVAS)[self.size]
        labels = data_root() / "Dataset027_ACDC" / "patients.csv" if volume else None
        if self.arm in SUMMARISED or self.arm in ("semi, rule", "boosted, rule"):
            by, embedding = SUMMARISED.get(self.arm, (RULE, ""))
            kind = self.arm.split(",")[0] if self.arm not in SUMMARISED else ""
            run = segmentation(self.group, self.size, self.share, self.seed, kind)
            small = size if volume else SUMMARY_CANVAS[self.size]
            own = {**settings, "steps": HEAD_STEPS[self.size]}
            if by == "small":
                own["steps"] = settings["steps"]
            own["validation"] = {"interval": max(1, own["steps"] // 5)}
            return ClassifierRequest(
                run, task, by, embedding, canvas=small, image_labels=labels, settings=own
            )
        if self.arm == "y-net":
            settings |= {"network_options": SEGMENTATION[self.size].get("network_options", {}),
                         "optimiser": {"lr": 1e-3}}  # fmt: skip
        few = None if self.share == "100" else str(few_file(self.share, self.seed))
        dataset, plan = dataset_and_plan(self.group, self.size, self.seed)
        return ClassifierRequest(
            dataset, task, self.arm, canvas=size, plan=plan, labelled=few, image_labels=labels,
            settings=settings,
        )  # fmt: skip


def classified(
    out: Path, asked: Callable[[], Any], **how: Any
) -> tuple[Any, dict[str, Any]]:  # fmt: skip
    """Train a classifier, or find it finished, and judge it: the run, and what tables show.

    `asked` makes the request, where it is needed; `how` is for `evaluate_classifier`.
    """
    from hinterland.classification.evaluation.evaluate import evaluate_classifier
    from hinterland.classification.record import ClassifierRun
    from hinterland.classification.train import train_classifier

    if not (out / "operating.json").is_file():  # unfinished or of older code: from scratch
        shutil.rmtree(out, ignore_errors=True)
        train_classifier(asked(), out)
    run = ClassifierRun(out)
    summary = evaluate_classifier(run, out / "evaluation", overwrite=True, **how)
    return run, {name: summary[name] for name in ("metrics", "recall", "unit", "rules")}


def tasks_of(group: str) -> Sequence[str]:
    """What is asked in a table."""
    if group == MARKED:
        return ("class=malignant",)
    return ("group",) if group == ACDC else tuple(BUSI_TASKS)


def few_file(share: str, seed: int) -> Path:
    """The list of labelled training cases."""
    from benchmarks.papers.classification_data import few_names

    return few_names(SHARES[share], seed)


def dataset_and_plan(group: str, size: str, seed: int) -> tuple[Any, Any]:
    """The data set of a table, and its plan: in 2D, at half the resolution unless `paper`."""
    from benchmarks.papers.classification_data import marked_busi
    from hinterland.data.dataset.read import read_dataset
    from hinterland.data.planning.plan_dataset import PlanOptions, plan_dataset

    if group == ACDC:
        folder, name = data_root() / "Dataset027_ACDC", "acdc.yaml"
    else:
        folder = marked_busi(seed) if group == MARKED else data_root() / "BUSI"
        name = "busi-classes.yaml"
    data = read_dataset(folder, ROOT / "examples" / "labels" / name)
    plan = plan_dataset(data, PlanOptions(2, 2.0))
    if size != "paper":
        plan = replace(plan, spacing=(plan.spacing[0], 2.0, 2.0))
    return data, plan


def segmentation(group: str, size: str, share: str, seed: int, kind: str = "") -> Any:
    """The segmentation run that arms share, trained by the first that asks for it.

    kind: "" on the labelled cases; "semi" and "boosted" on pseudo masks of that run, too.
    """
    from hinterland.classification.dataset.relabel import relabel
    from hinterland.data.dataset.read import read_dataset
    from hinterland.data.planning.plan_dataset import PlanOptions, plan_dataset
    from hinterland.training.config import make_config
    from hinterland.training.runs.request import RunRequest
    from hinterland.training.runs.run_training import run_or_resume

    safe = "".join(c if c.isalnum() else "-" for c in f"{group}-{share}-{kind or 'masks'}-{seed}")
    shared = work_root() / "classify" / size / "shared" / safe
    few = None if share == "100" else str(few_file(share, seed))
    data, plan = dataset_and_plan(group, size, seed)
    if kind:
        first = segmentation(group, size, share, seed)
        made = shared / "data"
        if not made.is_dir():
            relabel(first, made, boost=kind == "boosted", column="class")
        data, few = read_dataset(made), None
        again = plan_dataset(data, PlanOptions(2, 2.0))
        plan = replace(again, spacing=plan.spacing)
    settings = {**SEGMENTATION[size], "seed": seed, "precision": "fp32",
                "deep_supervision": False,
                "optimiser": {"optimiser": "adam", "lr": 1e-3, "weight_decay": 0.0}}  # fmt: skip
    settings["validation"] = {"interval": max(1, settings["steps"] // 4), "mirror": False}
    request = RunRequest(
        data, on=("leaves",), options=_CE, fold="fixed", labelled=few, plan=plan,
        config=make_config(settings),
    )  # fmt: skip
    return run_or_resume(request, shared / "run")


def cells(size: str, seeds: int) -> list[Cell]:
    """BUSI with few, then with all labels; the mark; ACDC. Further seeds: the rule, what builds on
    it, and the classifier it is held against."""
    result: list[Cell] = []
    claimed = (IMAGES[size][0], RULE, "semi, rule", "boosted, rule")
    for share in SHARES:
        arms = [*IMAGES[size], *SUMMARISED]
        arms += ["semi, rule", "boosted, rule"] if share != "100" else []
        for seed in range(seeds):
            result += [
                ClassifyCell(arm, seed, f"BUSI {share} %", size=size, share=share)
                for arm in arms
                if seed == 0 or arm in claimed
            ]
    for seed in range(seeds):
        result += [ClassifyCell(arm, seed, MARKED, size=size) for arm in (*IMAGES[size], RULE)]
    for arm in (*IMAGES[size][:1], "fully connected", "GAP + fully connected",
                "SqueezeNet on masks", "simple head, deep"):  # fmt: skip
        result.append(ClassifyCell(arm, 0, ACDC, size=size))
    return result


def page(size: str, cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """The tables as Markdown."""
    parts = []
    for share in SHARES:
        heads = [(text, task, "all") for task, text in BUSI_TASKS.items()]
        parts.append(_table(f"BUSI, {share} % of the training labels", f"BUSI {share} %", heads,
                            cells, results))  # fmt: skip
    marked = [("AUROC, mark at random", "class=malignant", "all"),
              ("robust AUROC (mark misleads)", "class=malignant", "robust"),
              ("AUROC where the mark agrees", "class=malignant", "aligned")]  # fmt: skip
    parts.append(_table("BUSI with a token in the corner of 95 % of malignant and 5 % of other "
                        "training images: malignant", MARKED, marked, cells, results))  # fmt: skip
    parts.append(_table("ACDC, five diagnoses; a patient's score is the mean of both frames (20 "
                        "test patients)", ACDC, [("five diagnoses", "group", "all")], cells,
                        results))  # fmt: skip
    return "\n".join(parts)


def _table(
    title: str, group: str, heads: Sequence[tuple[str, str, str]], cells: Sequence[Cell],
    results: Mapping[str, Mapping[str, Any]],
) -> str:  # fmt: skip
    mine = [c for c in cells if c.group == group]
    titles = [
        "arm",
        "runs",
        *(f"{h}: AUROC [95 % CI]" if "AUROC" not in h else h for h, *_ in heads),
    ]
    lines = [f"#### {title}", "", "| " + " | ".join(titles) + " |", "|" + " --- |" * len(titles)]
    for arm in dict.fromkeys(c.arm for c in mine):
        own = [c for c in mine if c.arm == arm]
        done = [results[c.name] for c in own if c.name in results]
        figures = [_figure(done, task, subgroup) for _, task, subgroup in heads]
        lines.append("| " + " | ".join([arm, f"{len(done)}/{len(own)}", *figures]) + " |")
    return "\n".join([*lines, ""])


def _figure(results: Sequence[Mapping[str, Any]], task: str, subgroup: str) -> str:
    """AUROC with the first seed's interval; the mean over seeds and their spread beside it."""
    import numpy as np

    found = [_auroc(r["tasks"][task], subgroup) for r in results]
    if not found:
        return "not run"
    value, low, high = found[0]
    text = f"{value:.3f} [{low:.3f}, {high:.3f}]"
    if len(found) > 1:
        values = [v for v, *_ in found]
        text += f"; seeds {np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"
    return text


def _auroc(task: Mapping[str, Any], subgroup: str) -> tuple[float, float, float]:
    rows = task["aligned"] if subgroup == "aligned" else task["metrics"]
    wanted = "robust" if subgroup == "aligned" else subgroup
    rows = [m for m in rows if m["metric"] == "auroc" and m["subgroup"] == wanted]
    row = next((m for m in rows if m["class"] == "mean"), rows[0])
    return row["value"], row["low"], row["high"]
