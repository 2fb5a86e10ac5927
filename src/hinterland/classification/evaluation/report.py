"""Write the report of an evaluation: one self-contained HTML page."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment

from hinterland.classification.evaluation.figures import (
    overlay,
    recall_figure,
    reliability_figure,
    roc_figure,
)
from hinterland.classification.evaluation.judging import RESAMPLES, Judged, confusion
from hinterland.classification.record import ClassifierRecord, ClassifierRun
from hinterland.classification.scores.curves import reliability, roc_band
from hinterland.classification.scores.resampling import resample_weights
from hinterland.data.io.files import write_text
from hinterland.data.io.volume import read_label, read_volume
from hinterland.types import Case, Dataset

LABELS = {
    "auroc": "AUROC", "auprc": "average precision", "balanced_accuracy": "balanced accuracy",
    "recall": "recall", "precision": "precision", "specificity": "specificity",
    "strict_recall": "strict recall (image and region)", "brier": "Brier score",
    "calibration_error": "calibration error",
}  # fmt: skip
EXAMPLES = 6


@dataclass(frozen=True)
class Example:
    """A case to show: its picture, what it is, what was decided, and how probable that is."""

    name: str
    picture: str
    truth: str
    decided: str
    probability: float


def write_report(
    out: Path,
    run: ClassifierRun,
    judged: Judged,
    metrics: pd.DataFrame,
    recalls: pd.DataFrame,
    predicted: pd.DataFrame,
    dataset: Dataset,
) -> Path:
    """Write report.html into `out`: metrics, ROC, reliability, confusion, recall, cases.

    Args:
        out: The evaluation's folder.
        run: The classifier.
        judged: Its scores.
        metrics: Of `metric_table`.
        recalls: Of `recall_table`.
        predicted: The rows of predictions.csv, with their `label`.
        dataset: The data set they are of.

    Returns:
        The file.
    """
    names = judged.task.classes
    weights, _ = resample_weights(judged.names, judged.patients, RESAMPLES, judged.seed)
    both = {i: t for i, t in judged.tests.items() if len(set(t.labels.tolist())) == 2}
    rocs = {
        names[i]: roc_band(t.labels, t.scores, judged.point.thresholds[i].value, weights)
        for i, t in both.items()
    }
    bins = {names[i]: reliability(judged.probabilities[:, i], t.labels) for i, t in both.items()}
    content = {
        "title": f"{judged.task.text}: {run.path.name}",
        "record": run.record,
        "data": dataset.root.name,
        "unit": judged.units.name,
        "count": len(judged.names),
        "cases": len(predicted),
        "tables": _tables(metrics),
        "roc": roc_figure(rocs, {n: _area(metrics, n) for n in rocs}) if rocs else "",
        "reliability": reliability_figure(bins) if bins else "",
        "recall": recall_figure(recalls) if len(recalls) else "",
        "classes": names,
        "confusion": confusion(judged).tolist(),
        "threshold": judged.point.thresholds[1].value if len(names) == 2 else None,
        "rules": {names[i]: rule for i, rule in judged.point.rules.items()},
        "worst": _examples(predicted, run.record, dataset, worst=True),
        "best": _examples(predicted, run.record, dataset, worst=False),
    }
    template = files("hinterland.classification.evaluation") / "templates" / "evaluation.html"
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        template.read_text(encoding="utf-8")
    )
    target = out / "report.html"
    write_text(target, page.render(content) + "\n")
    return target


def _tables(metrics: pd.DataFrame) -> list[dict[str, Any]]:
    """Group the metrics by class and subgroup, numbers as text."""
    found = []
    for (name, subgroup), part in metrics.groupby(["class", "subgroup"], sort=False):
        rows = [
            {
                "label": "macro recall" if name == "mean" and m == "recall" else LABELS.get(m, m),
                "value": _number(v),
                "interval": f"{_number(low)} to {_number(high)}" if np.isfinite(low) else "",
            }
            for m, v, low, high in part[["metric", "value", "low", "high"]].itertuples(index=False)
        ]
        first = part.iloc[0]
        positives = "" if pd.isna(first["positives"]) else f", {int(first['positives'])} positive"
        title = "all classes" if name == "mean" else str(name)
        title += "" if subgroup == "all" else f" ({subgroup})"
        found.append({"title": title, "n": f"{int(first['cases'])}{positives}", "rows": rows})
    return found


def _area(metrics: pd.DataFrame, name: str) -> str:
    rows = metrics[(metrics["class"] == name) & (metrics["subgroup"] == "all")]
    return _number(float(rows.loc[rows["metric"] == "auroc", "value"].iloc[0]))


def _number(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "not known"


def _examples(
    predicted: pd.DataFrame, record: ClassifierRecord, dataset: Dataset, *, worst: bool
) -> list[Example]:
    """Choose the cases whose true class is least (or most) probable, with their pictures."""
    own = [row[f"probability: {row['label']}"] for _, row in predicted.iterrows()]
    order = np.argsort(own, kind="stable")
    wrong = (predicted["class"] != predicted["label"]).to_numpy()
    chosen = [i for i in order if wrong[i]] if worst else [i for i in order[::-1] if not wrong[i]]
    if not worst:  # not only the class that is easiest
        per_class = max(1, EXAMPLES // len(record.task.classes))
        labels = predicted["label"].to_numpy()
        chosen = [i for c in record.task.classes for i in _first(chosen, labels, c, per_class)]
    found = []
    for i in chosen[:EXAMPLES]:
        row, case = predicted.iloc[i], dataset[str(predicted.iloc[i]["case"])]
        found.append(
            Example(case.name, _picture(case, row["mask"], record), str(row["label"]),
                    str(row["class"]), float(own[i]))
        )  # fmt: skip
    return found


def _first(order: list[int], labels: np.ndarray, name: str, count: int) -> list[int]:
    return [i for i in order if labels[i] == name][:count]


def _picture(case: Case, mask: str, record: ClassifierRecord) -> str:
    image = read_volume(case.images).array[0]
    found = read_label(Path(mask)).array[0] > 0 if mask else None
    reference = None
    if case.label is not None:
        spec = record.spec
        wanted = frozenset().union(*(spec.target.groups[i] for i in spec.target.foreground))
        values = spec.scheme(case.scheme).label_values
        label = read_label(case.label).array[0]
        reference = np.isin(label, [v for v, leaves in values.items() if leaves <= wanted])
    return overlay(image, found, reference)
