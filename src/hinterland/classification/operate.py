"""Fit on validation cases, after training: rule, calibration, threshold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from hinterland.classification.dataset.answers import holds
from hinterland.classification.dataset.cases import unit_of, units_of
from hinterland.classification.fitting.operating_point import aggregated, fit_operating_point
from hinterland.classification.fitting.rule import TAU, THRESHOLDS, MaskCounts, Rule, T, scaled_tau
from hinterland.classification.fitting.rule_fit import cross_fitted, fit_rule
from hinterland.classification.model import RULE, ClassifierModel
from hinterland.classification.record import ClassifierRecord
from hinterland.data.preprocessing.cache import Prepared
from hinterland.types import Dataset


def operate(
    out: Path,
    record: ClassifierRecord,
    dataset: Dataset,
    prepared: Prepared,
    report: Callable[[int, int, str], None] | None,
) -> None:
    """Score the validation cases, fit what is fitted there, write operating.json into `out`.

    Images have an operating point of their own, and so have patients where they are judged.

    Args:
        out: the classifier's directory.
        record: of the classifier.
        dataset: its data set.
        prepared: the preprocessed validation cases.
        report: called with (done, of how many, message).
    """
    names, split = record.split["val"], record.split_of
    groups = {c.name: c.group for c in dataset.cases}
    default = Rule(
        record.rule.get("t", T),
        int(record.rule.get("tau", scaled_tau([prepared[n].image.shape for n in names], TAU))),
    )
    rules = dict.fromkeys(range(len(record.task.classes)), (default.t, default.tau))
    model = ClassifierModel(out, record, rules)
    counts: dict[int, dict[str, MaskCounts]] = {}
    scores: dict[str, np.ndarray] = {}
    thresholds = tuple(sorted({*THRESHOLDS, default.t}))
    for done, name in enumerate(names, start=1):
        output = model.predict(np.asarray(prepared[name].image))
        scores[name] = output.scores
        if record.by == RULE:
            for index, mask in output.masks.items():
                counts.setdefault(index, {})[name] = MaskCounts.of(mask, thresholds)
        if report:
            report(done, len(names), "")
    if record.by == RULE:
        largest = smallest_lesions(record, prepared)
        fitted = {
            index: _fit(record, index, of_class, default, largest.get(index), groups)
            for index, of_class in counts.items()
        }
        rules = {index: pair for index, (pair, _) in fitted.items()}
        found = replace(model, rules=rules)
        scores = {n: found.joined({i: s[n] for i, (_, s) in fitted.items()}) for n in names}
    else:
        rules = {}
    units = {
        unit: units_of(record.task, names, record.targets, groups, unit)
        for unit in dict.fromkeys(
            ("case", unit_of(record.task, record.targets, groups, record.unit))
        )
    }
    points = {
        unit: fit_operating_point(
            record.task,
            aggregated(scores, members, record.aggregate),
            members,
            {u: split[m[0]] for u, m in members.members.items()},
        )
        for unit, members in units.items()
    }
    replace(
        points["case"], rules=rules, aggregate=record.aggregate, patients=points.get("patient")
    ).write(out)


def smallest_lesions(record: ClassifierRecord, prepared: Prepared) -> dict[int, int]:
    """Find the voxels of the smallest mask of each class among the training cases, on the grid.

    Classes without a node, or without a training mask that shows them, are left out.
    """
    found: dict[int, int] = {}
    for name in record.split["train"]:
        label = prepared[name].label
        if label is None:
            continue
        values, counts = np.unique(np.asarray(label), return_counts=True)
        meaning = record.spec.scheme(record.schemes[name]).label_values
        for index, node in enumerate(record.task.nodes):
            if node is None:
                continue
            leaves = record.spec.tree.leaves_under(node)
            inside = [v in meaning and meaning[v] <= leaves for v in values.tolist()]
            size = int(counts[inside].sum())
            if size:
                found[index] = min(size, found.get(index, size))
    return found


def _fit(
    record: ClassifierRecord,
    index: int,
    counts: Mapping[str, MaskCounts],
    default: Rule,
    largest: int | None,
    groups: Mapping[str, str],
) -> tuple[tuple[float, int], dict[str, float]]:
    """Fit t and tau of one class's mask where they are not given, and score its cases by them."""
    t, tau = record.rule.get("t"), record.rule.get("tau")
    if t is not None and tau is not None:
        return (t, int(tau)), {n: c.score(t, int(tau)) for n, c in counts.items()}
    answers = {n: holds(record.targets[n], index) for n in counts}
    labels = {n: y for n, y in answers.items() if y is not None}
    cases = counts if t is None else {n: c.only(t) for n, c in counts.items()}
    known = {n: cases[n] for n in labels}
    taus = None if tau is None else [int(tau)]
    options = {"default": default, "taus": taus, "largest": largest, "groups": groups}
    rule = fit_rule(known, labels, record.split_of, **options)  # type: ignore[arg-type]
    scores = cross_fitted(known, labels, record.split_of, rule, **options)  # type: ignore[arg-type]
    others = {n: c.score(rule.t, rule.tau) for n, c in cases.items() if n not in labels}
    return (rule.t, rule.tau), {**scores, **others}
