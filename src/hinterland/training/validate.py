"""Dice on whole validation volumes, for choosing the best checkpoint, and how sure it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from hinterland.data.preprocessing.cache import Prepared
from hinterland.data.sampling.label_sets import LabelSetLookup
from hinterland.evaluation.metrics.metrics import dice
from hinterland.inference.volumes import Predictor
from hinterland.labels import Coarsening, LabelSetTable, LabelSpec
from hinterland.types import Case


def validate(
    predictor: Predictor,
    cases: Iterable[Case],
    prepared: Prepared,
    spec: LabelSpec,
    table: LabelSetTable,
    at: Coarsening,
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Two tables: case -> group of `at` -> Dice on the preprocessed grid; case -> `confidence`.

    Voxels whose annotation does not decide a group are left out of its Dice; a group that no voxel
    decides is missing from the result. Both masks empty counts 1, one empty 0, as in the report's
    default policy.
    """
    cases = [c for c in cases if c.labelled]
    if not cases:  # a model that cannot answer `at` may still be trained without validation
        return {}, {}
    member, decided = table.member(at), table.decided(at)
    group_of = at.over(predictor.cells).argmax(axis=0)
    scores: dict[str, dict[str, float]] = {}
    sure: dict[str, dict[str, float]] = {}
    for case in cases:
        stored = prepared[case.name]
        assert stored.label is not None
        rows = LabelSetLookup(table, spec.scheme(case.scheme))(np.asarray(stored.label), case.name)
        # Decoded as the run's test predictions are: the most probable cell, then its group.
        cells = predictor.log_probabilities(np.asarray(stored.image), predictor.cells)
        predicted = group_of[cells.argmax(axis=0)]
        scores[case.name] = {}
        region = predicted != at.background
        for group in at.foreground:
            known = decided[rows, group]
            if known.any():
                truth = member[rows, group] & known
                region |= truth
                scores[case.name][at.names[group]] = dice((predicted == group) & known, truth)
        if region.any():
            sure[case.name] = confidence(cells[:, region])
    return scores, sure


def confidence(log_probabilities: np.ndarray) -> dict[str, float]:
    """Of log-probabilities (cells, voxels), the means over voxels of the largest probability
    ("confidence"), and of the entropy over log(cells), from 0 to 1 ("entropy")."""
    p = np.exp(log_probabilities)
    entropy = -(p * log_probabilities).sum(axis=0) / np.log(len(p))
    return {"confidence": float(p.max(axis=0).mean()), "entropy": float(entropy.mean())}


def mean_score(scores: Mapping[str, Mapping[str, float]]) -> tuple[float, dict[str, float]]:
    """The mean over cases of each group, and their mean over groups; NaN where there is nothing."""
    groups = sorted({g for case in scores.values() for g in case})
    means = {g: float(np.mean([c[g] for c in scores.values() if g in c])) for g in groups}
    return (float(np.mean(list(means.values()))) if means else float("nan")), means
