"""AUROC of several ways to read the same masks: what fitting t and tau is worth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.metrics import roc_auc_score

from hinterland.classification.evaluation.evaluate import dataset_of
from hinterland.classification.fitting.rule import (
    TAU,
    THRESHOLDS,
    MaskCounts,
    Rule,
    T,
    scaled_tau,
)
from hinterland.classification.fitting.rule_fit import fit_rule
from hinterland.classification.operate import smallest_lesions
from hinterland.classification.predict import load_model
from hinterland.classification.record import ClassifierRun
from hinterland.data.preprocessing.cache import prepare

VARIANTS = ("untuned", "free search", "one standard error", "mean of the largest")


def auroc_by_rule(run: ClassifierRun) -> dict[str, float]:
    """Read the masks of a classifier by rule in every way.

    "untuned" is the paper's pair scaled to the grid, "free search" the pair of the highest AUROC on
    validation images, "one standard error" what the product does (`fit_rule`), and "mean of the
    largest" the mean of as many of the most probable pixels as the scaled tau.

    Returns:
        Variant -> AUROC on test images.
    """
    record = run.record
    model, _ = load_model(run)
    prepared = prepare(dataset_of(record), record.plan)
    index = record.task.scored[0]
    tau = scaled_tau([prepared[n].image.shape for n in record.split["val"]], TAU)
    counts: dict[str, MaskCounts] = {}
    largest: dict[str, float] = {}
    for name in (*record.split["val"], *record.split["test"]):
        mask = model.predict(np.asarray(prepared[name].image)).masks[index]
        counts[name] = MaskCounts.of(mask)
        largest[name] = float(np.sort(mask.ravel())[-tau:].mean())
    labels = {n: int(record.targets[n] == index) for n in counts}
    val = {n: counts[n] for n in record.split["val"]}
    fitted = fit_rule(
        val, labels, record.split_of, default=Rule(T, tau),
        largest=smallest_lesions(record, prepared).get(index),
    )  # fmt: skip
    pairs = {"untuned": (T, tau), "free search": _free_search(val, labels),
             "one standard error": (fitted.t, fitted.tau)}  # fmt: skip
    test = record.split["test"]
    truth = [labels[n] for n in test]
    found = {
        variant: float(roc_auc_score(truth, [counts[n].score(*pair) for n in test]))
        for variant, pair in pairs.items()
    }
    return found | {VARIANTS[3]: float(roc_auc_score(truth, [largest[n] for n in test]))}


def _free_search(counts: Mapping[str, MaskCounts], labels: Mapping[str, int]) -> tuple[float, int]:
    """Return the pair of the highest AUROC on these images, the first of several."""
    most = max(int(c.positive.max()) for c in counts.values())
    truth = [labels[n] for n in counts]
    best, chosen = -1.0, (T, 1)
    for t in THRESHOLDS:
        for tau in (2**i for i in range(max(most, 1).bit_length())):
            value = float(roc_auc_score(truth, [c.score(t, tau) for c in counts.values()]))
            if value > best:
                best, chosen = value, (t, tau)
    return chosen
