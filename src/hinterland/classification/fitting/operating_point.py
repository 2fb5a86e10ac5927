"""What is fitted after training, on validation cases only: rule, calibration, threshold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hinterland.classification.dataset.answers import holds
from hinterland.classification.dataset.cases import Units
from hinterland.classification.dataset.task import Task
from hinterland.classification.fitting.calibration import Calibration, fit_calibration
from hinterland.classification.scores.metrics import ImageScores, YoudenThreshold
from hinterland.data.io.files import write_text
from hinterland.types import HinterlandError

FILE = "operating.json"


AGGREGATES = ("mean", "max")


@dataclass(frozen=True)
class OperatingPoint:
    """How scores become probabilities and decisions, by class index.

    Attributes:
        unit: what its scores are of, single images ("case") or patients.
        rules: t and tau where the rule is used.
        cases: those that all of it was fitted on.
        aggregate: how the scores of a patient's images become the patient's, mean or max.
        independent: whether the classes are findings, several of which may hold at once.
        patients: the operating point of patients, where they are what is judged; a threshold for
            single images does not hold for their means.
    """

    unit: str
    cases: frozenset[str]
    calibrations: Mapping[int, Calibration]
    thresholds: Mapping[int, YoudenThreshold]
    rules: Mapping[int, tuple[float, int]] = field(default_factory=dict)
    aggregate: str = "mean"
    independent: bool = False
    patients: OperatingPoint | None = None

    def of(self, unit: str) -> OperatingPoint:
        """Choose the operating point of single images or of patients."""
        return self.patients if unit == "patient" and self.patients else self

    def elsewhere(self) -> OperatingPoint:
        """Take the operating point to another data set, whose names mean other cases."""
        thresholds = {i: YoudenThreshold(t.value, frozenset()) for i, t in self.thresholds.items()}
        return replace(self, cases=frozenset(), thresholds=thresholds)

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Turn scores (n, classes) into calibrated probabilities (n, classes).

        Of two classes the second is calibrated and the first is what is left; of several each is
        calibrated against the rest, and they are divided by their sum. Findings are calibrated each
        by itself, and their probabilities sum to nothing in particular.
        """
        if scores.shape[1] == 2 and not self.independent:
            yes = self.calibrations[1](scores[:, 1])
            return np.stack([1 - yes, yes], axis=1)
        each = [self.calibrations[i](scores[:, i]) for i in range(scores.shape[1])]
        stacked = np.stack(each, axis=1)
        return stacked if self.independent else stacked / stacked.sum(axis=1, keepdims=True)

    def called(self, scores: np.ndarray) -> np.ndarray:
        """Decide which classes hold: bool (n, classes) of scores (n, classes).

        Of two classes the second where its score reaches its threshold; of several the most
        probable; of findings each one that reaches its own threshold.
        """
        if self.independent or scores.shape[1] == 2:
            needed = [self.thresholds[i].value if i in self.thresholds else np.nan
                      for i in range(scores.shape[1])]  # fmt: skip
            reached = scores >= needed
            return reached if self.independent else np.stack([~reached[:, 1], reached[:, 1]], 1)
        best = self.probabilities(scores).argmax(axis=1)
        return np.eye(scores.shape[1], dtype=bool)[best]

    def write(self, folder: Path) -> None:
        """Write operating.json into the classifier's directory."""
        content = {
            "unit": "patient" if self.patients else "case",
            "aggregate": self.aggregate,
            "independent": self.independent,
            "fitted_on": "val",
            **self._fitted(),
            "rules": {str(i): list(rule) for i, rule in self.rules.items()},
        }
        if self.patients:
            content["patients"] = self.patients._fitted()
        write_text(folder / FILE, json.dumps(content, indent=1) + "\n")

    def _fitted(self) -> dict[str, Any]:
        classes = {
            str(i): {
                "slope": self.calibrations[i].slope,
                "offset": self.calibrations[i].offset,
                "threshold": self.thresholds[i].value,
            }
            for i in self.calibrations
        }
        return {"cases": sorted(self.cases), "classes": classes}

    @classmethod
    def read(cls, folder: Path) -> OperatingPoint:
        """Read what `write` wrote.

        Raises:
            HinterlandError: the classifier is not finished.
        """
        if not (folder / FILE).is_file():
            raise HinterlandError(
                f"{folder} has no {FILE}: its training was not finished. Give the same `classify "
                "train` command again; it goes on where it stopped."
            )
        data = json.loads((folder / FILE).read_text(encoding="utf-8"))
        shared: dict[str, Any] = {
            "rules": {int(i): (float(t), int(tau)) for i, (t, tau) in data["rules"].items()},
            "aggregate": data.get("aggregate", "mean"),
            "independent": data.get("independent", False),
        }
        patients = None
        if data["unit"] == "patient":  # earlier versions have no other operating point
            patients = cls(**_parsed("patient", data.get("patients", data)), **shared)
        return cls(**_parsed("case", data), **shared, patients=patients)


def _parsed(unit: str, data: Mapping[str, Any]) -> dict[str, Any]:
    cases = frozenset(data["cases"])
    rows = {int(i): row for i, row in data["classes"].items()}
    return {
        "unit": unit,
        "cases": cases,
        "calibrations": {i: Calibration(r["slope"], r["offset"], cases) for i, r in rows.items()},
        "thresholds": {i: YoudenThreshold(r["threshold"], cases) for i, r in rows.items()},
    }


def aggregated(
    scores: Mapping[str, np.ndarray], units: Units, aggregate: str = "mean"
) -> dict[str, np.ndarray]:
    """Join the scores (classes,) of each unit's cases into one, by their mean or maximum.

    Args:
        scores: case -> (classes,).
        units: what is judged.
        aggregate: "mean" or "max".

    Returns:
        Unit -> (classes,).

    Raises:
        HinterlandError: another way.
    """
    if aggregate not in AGGREGATES:
        raise HinterlandError(f"aggregate {aggregate!r}: expected one of {', '.join(AGGREGATES)}.")
    join = np.mean if aggregate == "mean" else np.max
    return {
        unit: np.asarray(join([scores[name] for name in members], axis=0))
        for unit, members in units.members.items()
    }


def fit_operating_point(
    task: Task, scores: Mapping[str, np.ndarray], units: Units, split: Mapping[str, str]
) -> OperatingPoint:
    """Fit calibration and Youden threshold of each judged class.

    Args:
        task: the question.
        scores: unit -> (classes,).
        units: the units and their answers; a unit counts for what is known of it.
        split: unit -> its split.

    Returns:
        Calibration and threshold of each judged class.

    Raises:
        HinterlandError: a unit is not of the validation split, or all have one label.
    """
    names = sorted(scores)
    calibrations, thresholds = {}, {}
    for index in task.scored:
        answers = {n: holds(units.targets[n], index) for n in names}
        labels = {n: y for n, y in answers.items() if y is not None}
        own = {n: float(scores[n][index]) for n in labels}
        calibrations[index] = fit_calibration(own, labels, split)
        thresholds[index] = YoudenThreshold.fit(
            ImageScores(tuple(labels), np.array([*own.values()]), np.array([*labels.values()]))
        )
    return OperatingPoint(
        units.name, frozenset(names), calibrations, thresholds, independent=task.independent
    )
