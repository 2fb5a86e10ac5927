"""Compare two classifiers on the same test cases: a paired test of AUROC, paired intervals."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hinterland.classification.scores.delong import delong
from hinterland.classification.scores.resampling import (
    resample_weights,
    weighted_auroc,
    weighted_share,
)
from hinterland.data.io.csv_text import with_original_text
from hinterland.evaluation.statistics.bootstrap import percentile_interval
from hinterland.types import HinterlandError

RESAMPLES = 2000
ORDER = ("class", "metric", "first", "second", "difference", "low", "high", "p", "test", "cases")


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate_classifier` wrote of one classifier; `rows` by case or patient (`unit`)."""

    path: Path
    unit: str
    task: str
    rows: pd.DataFrame

    @property
    def classes(self) -> list[str]:
        names = [str(c) for c in self.rows.columns]
        return [c.removeprefix("score: ") for c in names if c.startswith("score: ")]

    @property
    def judged(self) -> list[str]:
        """The classes that are compared: of two that exclude each other the second."""
        findings = any(f"called: {c}" in self.rows for c in self.classes)
        return self.classes[1:] if len(self.classes) == 2 and not findings else self.classes


def compare_classifiers(first: Path, second: Path, *, seed: int = 0) -> pd.DataFrame:
    """Compare two evaluated classifiers, paired by case or patient.

    Args:
        first: The classifier's directory (with `evaluation/`), or an evaluation's own folder. The
            baseline.
        second: The one that is compared with it.
        seed: Of the bootstrap.

    Returns:
        One row per judged class and metric: `class`, `metric`, `first`, `second`, `difference`
        (second less first), `low`, `high` (95 %), `p`, `test`, `cases`. AUROC has DeLong's test,
        where each row is a patient of its own; else, and for balanced accuracy, the interval is a
        paired bootstrap over patients, and p is the share of resamples on the other side of 0,
        twice.

    Raises:
        HinterlandError: A classifier is not evaluated, they were asked different things, or they
            share no test case.
    """
    a, b = read_evaluation(first), read_evaluation(second)
    if (a.task, a.unit, a.classes) != (b.task, b.unit, b.classes):
        raise HinterlandError(
            f"{a.path} answers {a.task!r} by {a.unit} and {b.path} answers {b.task!r} by {b.unit}: "
            "they cannot be compared. Train both for one --task and --unit."
        )
    shared = a.rows.index.intersection(b.rows.index)
    if not len(shared):
        raise HinterlandError(
            f"{a.path} and {b.path} share no test {a.unit}. Evaluate both on the same ones."
        )
    left, right = a.rows.loc[shared], b.rows.loc[shared]
    labels = [c for c in left if str(c).partition(":")[0] == "label"]
    same = (left[labels] == right[labels]) | (left[labels].isna() & right[labels].isna())
    differ = ~same.all(axis=1).to_numpy()
    if differ.any():
        wrong = shared[differ][0]
        raise HinterlandError(
            f"{a.path} and {b.path} have different labels of {wrong!r}."
            " Evaluate both with the same table of labels."
        )
    found = []
    for name in a.judged:
        own = left.index[truth_of(left, name).notna()]
        one, two = left.loc[own], right.loc[own]
        truth = truth_of(one, name).to_numpy(int)
        if truth.all() or not truth.any():
            continue
        weights, units = resample_weights([*map(str, own)], patients_of(one), RESAMPLES, seed)
        scores = [part[f"score: {name}"].to_numpy(float) for part in (one, two)]
        called = [_called(part, name) for part in (one, two)]
        areas = [weighted_auroc(truth, s, weights) for s in scores]
        row = _row("auroc", [float(weighted_auroc(truth, s, np.ones((1, len(truth))))[0])
                             for s in scores], areas, units)  # fmt: skip
        if units == len(own):
            test = delong(truth, *scores)
            row |= {"low": test.low, "high": test.high, "p": test.p, "test": "DeLong"}
        whole = np.ones((1, len(truth)))
        rates = [_balanced(truth == 1, c, weights) for c in called]
        values = [float(_balanced(truth == 1, c, whole)[0]) for c in called]
        for metric in (row, _row("balanced_accuracy", values, rates, units)):
            found.append({"class": name, **metric, "cases": len(own)})
    return pd.DataFrame(found, columns=list(ORDER))


def truth_of(rows: pd.DataFrame, name: str) -> pd.Series:
    """Return 1 or 0 for each row of an evaluation; empty where a finding is not known."""
    if f"label: {name}" in rows:
        return rows[f"label: {name}"]
    return (rows["label"] == name).astype(int)


def patients_of(rows: pd.DataFrame) -> list[str]:
    """Return the patient of each row of an evaluation."""
    return [str(g) for g in rows.get("group", rows.index)]


def _called(rows: pd.DataFrame, name: str) -> np.ndarray:
    """Return bool (rows,): whether the class was decided for."""
    if f"called: {name}" in rows:
        return rows[f"called: {name}"].to_numpy() == 1
    return (rows["class"] == name).to_numpy()


def _row(
    metric: str, values: list[float], draws: list[np.ndarray], units: int
) -> dict[str, object]:
    differences = draws[1] - draws[0]
    known = differences[np.isfinite(differences)]
    low, high = percentile_interval(differences[:, None], units, expanded=False)
    sides = min((known <= 0).mean(), (known >= 0).mean()) if known.size else np.nan
    return {
        "metric": metric,
        "first": values[0],
        "second": values[1],
        "difference": values[1] - values[0],
        "low": float(low[0]),
        "high": float(high[0]),
        "p": float(min(1.0, 2 * sides)),
        "test": "paired bootstrap",
    }


def _balanced(truth: np.ndarray, called: np.ndarray, weights: np.ndarray) -> np.ndarray:
    recall = weighted_share(called, truth, weights)
    return (recall + weighted_share(~called, ~truth, weights)) / 2


def read_evaluation(path: Path) -> Evaluation:
    """Read the evaluation of a classifier, or of its folder.

    Args:
        path: the classifier's directory, or an evaluation's own folder.

    Returns:
        Its rows, by case or patient.

    Raises:
        HinterlandError: the classifier is not evaluated.
    """
    folder = path if (path / "predictions.csv").is_file() else path / "evaluation"
    summary = folder / "summary.json"
    if not summary.is_file():
        raise HinterlandError(
            f"{path} is not evaluated. First: hinterland classify evaluate {path}"
        )
    data = json.loads(summary.read_text(encoding="utf-8"))
    by_patient = data["unit"] == "patient"
    file = folder / ("patients.csv" if by_patient else "predictions.csv")
    table = with_original_text(pd.read_csv(file))
    key = "patient" if by_patient else "case"
    text = {c: str for c in (key, "class", "label", "group") if c in table}
    rows = table.astype(text).set_index(key)
    return Evaluation(path, data["unit"], data["task"], rows)
