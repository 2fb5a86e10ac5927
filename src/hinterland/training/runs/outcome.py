"""What follows training: predict the unseen cases with both checkpoints, and evaluate."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

import pandas as pd

from hinterland.data.io.files import write_text
from hinterland.evaluation.folders import Origin, evaluate_folders
from hinterland.evaluation.statistics.take_off import take_off, validation_curve
from hinterland.evaluation.table import summarise, write_table
from hinterland.training.checkpoint import load_checkpoint
from hinterland.training.config import shortcut_cases
from hinterland.training.loop.trainer import Report
from hinterland.training.runs.beside_teachers import beside_teachers
from hinterland.training.runs.run import Run, Which
from hinterland.training.runs.shortcuts import measure_shortcuts, sentence
from hinterland.types import Case, Dataset

log = logging.getLogger(__name__)
WORTH_MEASURING = 60.0
"""Seconds of training from which it is measured unasked what mirroring and `fast` change."""
SHARE = 0.05
"""Of the training's time, what that may take."""
REPORTED = ("dice", "jaccard", "hd95", "assd", "nsd")


def finish_run(run: Run, dataset: Dataset, *, seconds: float, report: Report | None = None) -> None:
    """Write predictions, metrics.csv (reported checkpoint), the other's metrics, summary.json.

    The reported checkpoint predicts into `predictions/`, the other one into `predictions-NAME/`
    with `metrics-NAME.csv`, unless both are the same step. Cases: test, or the held-out fold where
    a fold number was trained. A distilled run is laid beside its teachers (`beside_teachers`).

    Args:
        run: the trained run.
        dataset: its data set.
        seconds: how long training took.
        report: called with (volumes predicted, volumes of both checkpoints, message).
    """
    cases, split = evaluated_cases(run, dataset)
    summary: dict[str, Any] = {
        "method": run.record.method,
        "selection": run.record.selection,
        "reported": run.reported,
        "split": split,
        "empty": "penalty",
        "cases": len(cases),
        "seconds_training": round(seconds, 1),
        "steps": _steps(run),
        "parameters": run.parameters,
        **_took_off(run),
        "checkpoints": {},
    }
    measured = _shortcuts(run, dataset, seconds, report)
    if measured:
        summary["prediction"] = measured
        log.info("%s", sentence(measured))
    mirror = run.record.train.validation.mirror
    if mirror == "auto":  # what is reported may not choose how it is predicted
        mirror = run.record.selection != "val" or not measured or measured["mirroring"]["pays"]
    if cases:
        other: Which = "last" if run.reported == "best" else "best"
        parts: list[tuple[Which, str]] = [(run.reported, "")]
        if not _same_weights(run):
            parts.append((other, f"-{other}"))
        for part, (which, suffix) in enumerate(parts):

            def tick(done: int, total: int, part: int = part, which: str = which) -> None:
                if report:
                    report(part * total + done, len(parts) * total, f"{which} checkpoint")

            found = _one(run, dataset, cases, which, suffix, tick, mirror=bool(mirror))
            summary["checkpoints"][which] = found
        summary["checkpoints"].setdefault(other, summary["checkpoints"][run.reported])
        summary["metrics"] = summary["checkpoints"][run.reported]
    if run.record.teachers:
        summary["beside_teachers"] = beside_teachers(run, dataset, report)
    write_text(run.path / "summary.json", json.dumps(summary, indent=2))


def _shortcuts(
    run: Run, dataset: Dataset, seconds: float, report: Report | None
) -> dict[str, Any] | None:
    """Measure what mirroring and `fast` change, if it is asked for or costs next to nothing.

    A finished run that is evaluated again keeps what it has.
    """
    config = run.record.train
    if run.shortcuts is not None:
        return run.shortcuts
    asked = config.validation.shortcuts is not None or config.validation.mirror == "auto"
    most = shortcut_cases(config)
    if not most or (not asked and seconds < WORTH_MEASURING):
        return None

    def tick(done: int, total: int) -> None:
        if report:
            report(done, total, "mirroring and --fast measured")

    return measure_shortcuts(
        run, dataset, most=most, seconds=inf if asked else seconds * SHARE, tick=tick
    )


def _steps(run: Run) -> int:
    """Return the number of steps that were done in all phases."""
    last = load_checkpoint(run.path / "checkpoints" / "last.ckpt")
    return last["offset"] + last["step"]


def _took_off(run: Run) -> dict[str, Any]:
    """Return `took_off`, and `take_off` in steps; nothing for a run without validation."""
    curve = validation_curve(pd.read_csv(run.path / "log.csv"))
    if not curve:
        return {}
    step = take_off(curve)
    if step is None:
        log.warning(
            "%s never took off: its last validation Dice is %.3f. Train longer, or with --recipe "
            "fast, before comparing it with anything.", run.path, curve[-1][1],
        )  # fmt: skip
    else:
        log.info("took off by step %d of %d", step, curve[-1][0])
    return {"took_off": step is not None, "take_off": step}


def _same_weights(run: Run) -> bool:
    """Tell whether the best checkpoint is the last one, so that one prediction serves both."""
    best, last = (load_checkpoint(run.path / "checkpoints" / f"{w}.ckpt") for w in ("best", "last"))
    return (best["phase"], best["step"]) == (last["phase"], last["step"])


def evaluated_cases(run: Run, dataset: Dataset) -> tuple[tuple[Case, ...], str]:
    """Return the labelled cases that a run is judged by, and the name of their split."""
    record = run.record
    split = "test" if record.fold in ("fixed", "all") and record.split["test"] else "val"
    if record.fold == "all" and split == "val":
        return (), "none"
    cases = tuple(dataset[name] for name in record.split[split])
    return tuple(c for c in cases if c.labelled), split


def _one(
    run: Run,
    dataset: Dataset,
    cases: tuple[Case, ...],
    which: Which,
    suffix: str,
    tick: Callable[[int, int], None],
    *,
    mirror: bool,
) -> dict[str, Any]:
    out = run.path / f"predictions{suffix}"
    predictor = run.predictor(which, mirror=mirror)
    folder = run.predict(cases, out, predictor=predictor, overwrite=True, tick=tick)
    table = evaluate_run_predictions(run, dataset, cases, folder)
    write_table(table, run.path / f"metrics{suffix}.csv", overwrite=True)
    return figures(table)


def evaluate_run_predictions(
    run: Run, dataset: Dataset, cases: tuple[Case, ...], folder: Path
) -> pd.DataFrame:
    """Evaluate a run's predictions at every question that its model can answer.

    Args:
        run: a finished or nearly finished run.
        dataset: its data set.
        cases: the references.
        folder: the predictions, one file a case.

    Returns:
        The tidy table: one row per case, question and class.
    """
    record, cells = run.record, run.method.cells
    questions = dict(run.questions)
    if cells not in questions.values():
        questions["cells"] = cells
    origin = Origin(method=record.method, fold=record.fold, seed=record.train.seed)
    return evaluate_folders(
        folder, cases, spec=record.spec, at=questions, origin=origin, extra=True
    )


def figures(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return question/class -> metric -> mean over cases, with the macro mean as class `mean`."""
    result: dict[str, dict[str, float]] = {}
    for row in summarise(table, [m for m in REPORTED if m in table.columns]).to_dict("records"):
        if pd.notna(row["mean"]):
            entry = result.setdefault(f"{row['coarsening']}/{row['class']}", {})
            entry[str(row["metric"])] = round(float(row["mean"]), 5)
    return result
