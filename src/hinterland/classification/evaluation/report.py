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
    BANDS,
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
    """A case to show: its picture, what it is and what was decided.

    `about` is the truth whose probability is given.
    """

    name: str
    picture: str
    truth: str
    decided: str
    about: str
    probability: float
    wrong: bool


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
        names[i]: roc_band(
            t.labels, t.scores, judged.point.thresholds[i].value, weights[:, judged.known(i)]
        )
        for i, t in both.items()
    }
    bins = {
        names[i]: reliability(judged.probabilities[judged.known(i), i], t.labels)
        for i, t in both.items()
    }
    content = {
        "title": f"{judged.task.text}: {run.path.name}",
        "record": run.record,
        "data": dataset.root.name,
        "unit": judged.units.name,
        "count": len(judged.names),
        "cases": len(predicted),
        "tables": _tables(metrics),
        "roc": roc_figure(rocs, {n: _area(metrics, n) for n in rocs}) if rocs else "",
        "bands": len(rocs) <= BANDS,
        "reliability": reliability_figure(bins) if bins else "",
        "recall": recall_figure(recalls) if len(recalls) else "",
        "confusions": [
            {"title": title, "classes": heads, "rows": counts.tolist()}
            for title, (heads, counts) in confusion(judged).items()
        ],
        "thresholds": {
            names[i]: judged.point.thresholds[i].value
            for i in judged.task.scored
            if judged.task.independent or len(names) == 2
        },
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
    """Choose the cases whose true class is least (or most) probable, with their pictures.

    Of findings a case has the one that is worst.
    """
    told = [_told(row, record) for _, row in predicted.iterrows()]
    own = [probability for _, probability, _ in told]
    order = np.argsort(own, kind="stable")
    wrong = [is_wrong for *_, is_wrong in told]
    chosen = [i for i in order if wrong[i]] if worst else [i for i in order[::-1] if not wrong[i]]
    if not worst:  # not only the class that is easiest
        labels = predicted["label"].to_numpy()
        kinds = list(dict.fromkeys(labels[chosen])) or [""]
        per_class = max(1, EXAMPLES // len(kinds))
        chosen = [i for kind in kinds for i in _first(chosen, labels, kind, per_class)]
    found = []
    for i in chosen[:EXAMPLES]:
        row, case = predicted.iloc[i], dataset[str(predicted.iloc[i]["case"])]
        about, probability, _ = told[i]
        mask = row[f"mask: {about}" if record.task.independent else "mask"]
        one = record.task.independent
        node = record.task.nodes[record.task.classes.index(about)] if one else None
        found.append(
            Example(case.name, _picture(case, mask, record, node),
                    str(row["label"]), str(row["class"]),
                    _words(row, record, about), probability, wrong[i])
        )  # fmt: skip
    return found


def _told(row: pd.Series, record: ClassifierRecord) -> tuple[str, float, bool]:
    """Find the class that a case is shown for, how probable the truth is, and if it is missed."""
    if not record.task.independent:
        label = str(row["label"])
        return label, float(row[f"probability: {label}"]), row["class"] != row["label"]
    known = [c for c in record.task.classes if not pd.isna(row[f"label: {c}"])]
    probable = {
        c: float(p if row[f"label: {c}"] == 1 else 1 - p)
        for c, p in ((c, row[f"probability: {c}"]) for c in known)
    }
    missed = [c for c in known if row[f"called: {c}"] != row[f"label: {c}"]]
    about = min(missed or known, key=probable.__getitem__)
    return about, probable[about], bool(missed)


def _words(row: pd.Series, record: ClassifierRecord, about: str) -> str:
    """Say whose probability is given: the true class, or a finding or its absence."""
    no = record.task.independent and row[f"label: {about}"] == 0
    return f"no {about}" if no else about


def _first(order: list[int], labels: np.ndarray, name: str, count: int) -> list[int]:
    return [i for i in order if labels[i] == name][:count]


def _picture(case: Case, mask: str, record: ClassifierRecord, node: str | None) -> str:
    """Draw a case with a mask's outline, and that of the reference of a node or of the target."""
    image = read_volume(case.images).array[0]
    found = read_label(Path(mask)).array[0] > 0 if mask else None
    reference = None
    if case.label is not None:
        spec = record.spec
        wanted = (
            frozenset().union(*(spec.target.groups[i] for i in spec.target.foreground))
            if node is None else spec.tree.leaves_under(node)
        )  # fmt: skip
        values = spec.scheme(case.scheme).label_values
        label = read_label(case.label).array[0]
        reference = np.isin(label, [v for v, leaves in values.items() if leaves <= wanted])
    return overlay(image, found, reference)
