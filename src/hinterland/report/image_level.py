"""Does an image hold the class? Answers of masks and of classifiers, in one section."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from hinterland.data.io.csv_text import with_original_text
from hinterland.evaluation.statistics.bootstrap import percentile_interval
from hinterland.report.format import MISSING, interval, number
from hinterland.report.plots.figures import plot_reliability, plot_roc
from hinterland.report.runs import Arm
from hinterland.types import HinterlandError

_RESAMPLES = 2000
_PROBABILITY = "probability: "
_BINS = 10


@dataclass(frozen=True)
class ImageAnswers:
    """What a method says of images, and what is true.

    Attributes:
        method: its name.
        group: the class.
        truth: whether each image holds it, bool (n,).
        said: whether the method decided that it does, bool (n,).
        score: higher where it is more sure, (n,).
        patients: of each image; they are resampled.
        probable: whether scores are probabilities.
    """

    method: str
    group: str
    truth: np.ndarray
    said: np.ndarray
    score: np.ndarray
    patients: np.ndarray
    probable: bool = False

    @property
    def both(self) -> bool:
        """Whether there are images with the class and images without it."""
        return bool(self.truth.any() and not self.truth.all())

    @property
    def auroc(self) -> float:
        """Probability that an image with the class has a higher score than one without it."""
        return _auroc(self.truth, self.score)

    def interval(self) -> tuple[float, float]:
        """Return the 95 % bootstrap interval of `auroc` over patients."""
        rng = np.random.default_rng(0)
        _, patient = np.unique(self.patients, return_inverse=True)
        members = [np.flatnonzero(patient == i) for i in range(patient.max() + 1)]
        found = []
        for _ in range(_RESAMPLES):
            drawn = rng.integers(len(members), size=len(members))
            rows = np.concatenate([members[i] for i in drawn])
            found.append(_auroc(self.truth[rows], self.score[rows]))
        low, high = percentile_interval(np.array(found)[:, None], len(members))
        return float(low[0]), float(high[0])


def _auroc(truth: np.ndarray, score: np.ndarray) -> float:
    positive = int(truth.sum())
    negative = len(truth) - positive
    if not positive or not negative:
        return nan
    ranks = rankdata(score)[truth].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * negative))


def answers_of_masks(arms: Sequence[Arm]) -> list[ImageAnswers]:
    """Read from metric tables which images hold a class: any predicted voxel says so.

    The score is the predicted volume, in voxels. Classes that every image holds, or none, are left
    out; a case that several seeds predicted enters with each of them.
    """
    found = []
    for arm in arms:
        table = arm.table
        if not {"reference_voxels", "prediction_voxels"} <= set(table.columns):
            return []
        for group, part in table.groupby("class", sort=False):
            known = part.dropna(subset=["reference_voxels", "prediction_voxels"])
            volume = known["prediction_voxels"].to_numpy(float)
            answers = ImageAnswers(
                arm.name, str(group), known["reference_voxels"].to_numpy(float) > 0, volume > 0,
                volume, known["group"].astype(str).to_numpy(),
            )  # fmt: skip
            found.append(answers)
    return [answers for answers in found if answers.both]


def answers_of_classifier(folder: Path) -> list[ImageAnswers]:
    """Read what `hinterland classify evaluate` wrote: decisions and calibrated probabilities.

    Args:
        folder: a classifier, or one of its evaluations.

    Returns:
        One entry a class; of two classes the second alone; of findings the cases that are known.

    Raises:
        HinterlandError: there is no evaluation.
    """
    inside = folder if (folder / "predictions.csv").is_file() else folder / "evaluation"
    file = inside / "predictions.csv"
    if not file.is_file():
        raise HinterlandError(
            f"{folder} is no evaluated classifier: it has no predictions.csv. First: hinterland "
            f"classify evaluate {folder}"
        )
    table = with_original_text(pd.read_csv(file, dtype={"case": str, "group": str}))
    columns = [str(c) for c in table.columns if str(c).startswith(_PROBABILITY)]
    classes = [c.removeprefix(_PROBABILITY) for c in columns]
    if not classes or not {"label", "class"} <= set(table.columns):
        raise HinterlandError(
            f"{file} has no columns `label`, `class` and `probability: CLASS`. Judge the "
            f"classifier on cases whose class is known: hinterland classify evaluate {folder}"
        )
    name = (inside.parent if inside.name == "evaluation" else inside).resolve().name
    if f"label: {classes[0]}" in table:  # findings, of which an image may hold several
        found = [
            _answers(name, c, part, part[f"label: {c}"] == 1, part[f"called: {c}"] == 1)
            for c in classes
            if len(part := table.dropna(subset=[f"label: {c}"]))
        ]
    else:
        label, said = table["label"].astype(str), table["class"].astype(str)
        found = [
            _answers(name, c, table, label == c, said == c)
            for c in (classes[1:] if len(classes) == 2 else classes)
        ]
    return [answers for answers in found if answers.both]


def _answers(
    method: str, group: str, rows: pd.DataFrame, truth: pd.Series, said: pd.Series
) -> ImageAnswers:
    patients = (rows["group"] if "group" in rows else rows["case"]).astype(str).to_numpy()
    return ImageAnswers(
        method, group, truth.to_numpy(), said.to_numpy(),
        rows[_PROBABILITY + group].to_numpy(float), patients, probable=True,
    )  # fmt: skip


def image_level(answers: Sequence[ImageAnswers], methods: Sequence[str]) -> list[dict[str, Any]]:
    """Make what the page shows, one entry a class.

    Args:
        answers: of all methods.
        methods: names in the order of their colours; others follow.

    Returns:
        Mappings with `title`, `rows`, and as `figures` (SVG) the ROC curves and, where there are
        probabilities, their reliability.
    """
    order = list(dict.fromkeys([*methods, *(a.method for a in answers)]))
    shown = []
    for i, group in enumerate(dict.fromkeys(a.group for a in answers)):
        mine = [a for a in answers if a.group == group]
        series = {a.method: order.index(a.method) for a in mine}
        curves = {a.method: (series[a.method], a.truth, a.score, a.said) for a in mine}
        bins = {a.method: (series[a.method], reliability_bins(a)) for a in mine if a.probable}
        figures = [plot_roc(curves, f"ROC, {group}", f"image-roc-{i}")]
        if bins:
            figures.append(plot_reliability(bins, f"Reliability, {group}", f"image-rel-{i}"))
        shown.append(
            {
                "title": group,
                "figures": figures,
                "rows": [_row(a, series[a.method]) for a in mine],
            }
        )  # fmt: skip
    return shown


def reliability_bins(answers: ImageAnswers) -> pd.DataFrame:
    """Return, by bins of probability, the mean of what was said and the share that was true.

    Args:
        answers: whose scores are probabilities.

    Returns:
        Columns `said`, `true`, `count`; empty bins are left out.
    """
    bins = np.clip((answers.score * _BINS).astype(int), 0, _BINS - 1)
    table = pd.DataFrame({"bin": bins, "said": answers.score, "true": answers.truth.astype(float)})
    means = table.groupby("bin")[["said", "true"]].mean()
    return means.assign(count=table.groupby("bin").size())


def _row(a: ImageAnswers, series: int) -> dict[str, Any]:
    hit, false = a.said & a.truth, a.said & ~a.truth
    low, high = a.interval()
    return {
        "method": a.method,
        "series": series,
        "cells": [
            f"{hit.sum()} of {a.truth.sum()}",
            f"{false.sum()} of {(~a.truth).sum()}",
            f"{(a.truth & ~a.said).sum()}",
            f"{(~a.truth & ~a.said).sum()}",
            f"{number(a.auroc, 'dice')} {interval(low, high, 'dice')}".strip() or MISSING,
        ],
    }
