"""What is fitted after training, on validation cases only: rule, calibration, threshold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hinterland.classification.calibration import Calibration, fit_calibration
from hinterland.classification.cases import Units
from hinterland.classification.metrics import ImageScores, YoudenThreshold
from hinterland.classification.task import Task
from hinterland.data.io.files import write_text
from hinterland.types import HinterlandError

FILE = "operating.json"


@dataclass(frozen=True)
class OperatingPoint:
    """How scores become probabilities and decisions, by class index.

    rules: t and tau where the rule is used. cases: those that all of it was fitted on.
    """

    unit: str
    cases: frozenset[str]
    calibrations: Mapping[int, Calibration]
    thresholds: Mapping[int, YoudenThreshold]
    rules: Mapping[int, tuple[float, int]] = field(default_factory=dict)

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Turn scores (n, classes) into calibrated probabilities (n, classes) that sum to one.

        Of two classes the second is calibrated and the first is what is left; of several each is
        calibrated against the rest, and they are divided by their sum.
        """
        if scores.shape[1] == 2:
            yes = self.calibrations[1](scores[:, 1])
            return np.stack([1 - yes, yes], axis=1)
        each = [self.calibrations[i](scores[:, i]) for i in range(scores.shape[1])]
        stacked = np.stack(each, axis=1)
        return stacked / stacked.sum(axis=1, keepdims=True)

    def write(self, folder: Path) -> None:
        """Write operating.json into the classifier's directory."""
        classes = {
            str(i): {
                "slope": self.calibrations[i].slope,
                "offset": self.calibrations[i].offset,
                "threshold": self.thresholds[i].value,
            }
            for i in self.calibrations
        }
        content = {
            "unit": self.unit,
            "fitted_on": "val",
            "cases": sorted(self.cases),
            "classes": classes,
            "rules": {str(i): list(rule) for i, rule in self.rules.items()},
        }
        write_text(folder / FILE, json.dumps(content, indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> OperatingPoint:
        """Read what `write` wrote. HinterlandError while the classifier is not finished."""
        if not (folder / FILE).is_file():
            raise HinterlandError(
                f"{folder} has no {FILE}: its training was not finished. Give the same `classify "
                "train` command again; it goes on where it stopped."
            )
        data = json.loads((folder / FILE).read_text(encoding="utf-8"))
        cases = frozenset(data["cases"])
        rows = {int(i): row for i, row in data["classes"].items()}
        return cls(
            data["unit"],
            cases,
            {i: Calibration(r["slope"], r["offset"], cases) for i, r in rows.items()},
            {i: YoudenThreshold(r["threshold"], cases) for i, r in rows.items()},
            {int(i): (float(t), int(tau)) for i, (t, tau) in data["rules"].items()},
        )


def averaged(scores: Mapping[str, np.ndarray], units: Units) -> dict[str, np.ndarray]:
    """Average the scores of each unit's cases."""
    return {
        unit: np.mean([scores[name] for name in members], axis=0)
        for unit, members in units.members.items()
    }


def fit_operating_point(
    task: Task,
    scores: Mapping[str, np.ndarray],
    units: Units,
    split: Mapping[str, str],
    rules: Mapping[int, tuple[float, int]],
) -> OperatingPoint:
    """Fit calibration and Youden threshold of each judged class.

    scores: unit -> (classes,); split: unit -> its split. HinterlandError for any unit that is not
    of the validation split.
    """
    names = sorted(scores)
    calibrations, thresholds = {}, {}
    for index in task.scored:
        labels = {n: int(units.targets[n] == index) for n in names}
        own = {n: float(scores[n][index]) for n in names}
        calibrations[index] = fit_calibration(own, labels, split)
        thresholds[index] = YoudenThreshold.fit(
            ImageScores(
                tuple(names),
                np.array([own[n] for n in names]),
                np.array([labels[n] for n in names]),
            )
        )
    return OperatingPoint(units.name, frozenset(names), calibrations, thresholds, dict(rules))
