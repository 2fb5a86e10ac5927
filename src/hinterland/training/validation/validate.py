"""Dice on whole validation volumes, for choosing the best checkpoint, and how sure it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from hinterland.data.preprocessing.cache import Prepared
from hinterland.data.sampling.label_sets import LabelSetLookup
from hinterland.evaluation.metrics.metrics import dice
from hinterland.inference.volumes import Predictor
from hinterland.labels import Coarsening, LabelSetTable, LabelSpec
from hinterland.training.validation.selection import Presence, presence
from hinterland.types import Case


def validate(
    predictor: Predictor,
    cases: Iterable[Case],
    prepared: Prepared,
    spec: LabelSpec,
    table: LabelSetTable,
    at: Coarsening,
    presences: dict[str, dict[str, Presence]] | None = None,
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Predict the validation cases; return their Dice and their confidence.

    Voxels whose annotation does not decide a group are left out of its Dice; a group that no voxel
    decides is missing from the result. Both masks empty counts 1, one empty 0, as in the report's
    default policy.

    Args:
        predictor: the networks as they are.
        cases: the validation cases.
        prepared: their preprocessed arrays.
        spec: what labels mean.
        table: the label sets of the data set.
        at: the coarsening whose foreground groups are judged.
        presences: where given, it is filled with case -> group -> whether the image holds the
            group. Cases without a mask whose image label says so are predicted for it, too.

    Returns:
        Two tables: case -> group of `at` -> Dice on the preprocessed grid, and case ->
        `confidence`.
    """
    cases = list(cases)
    if presences is not None:
        for case in cases:
            known = _labelled_groups(case, at)
            if not case.labelled and known:
                image = np.asarray(prepared[case.name].image)
                found = np.exp(predictor.log_probabilities(image, at))
                presences[case.name] = {
                    at.names[g]: presence(found[g], y) for g, y in known.items()
                }
    cases = [c for c in cases if c.labelled]
    if not cases:  # a model that cannot answer `at` may still be trained without validation
        return {}, {}
    scores: dict[str, dict[str, float]] = {}
    sure: dict[str, dict[str, float]] = {}
    for case in cases:
        stored = prepared[case.name]
        assert stored.label is not None
        rows = LabelSetLookup(table, spec.scheme(case.scheme))(np.asarray(stored.label), case.name)
        # Decoded as the run's test predictions are: the group with the largest summed probability.
        logs = predictor.log_probabilities(np.asarray(stored.image), predictor.cells, at)
        cells, shares = logs[: len(predictor.cells)], logs[len(predictor.cells) :]
        predicted = shares.argmax(axis=0)
        scores[case.name] = {}
        region = predicted != at.background
        for group, decided, truth in decided_masks(rows, table, at):
            region |= truth
            scores[case.name][at.names[group]] = dice((predicted == group) & decided, truth)
            if presences is not None and (decided.all() or truth.any()):
                found = presence(np.exp(shares[group]), bool(truth.any()))
                presences.setdefault(case.name, {})[at.names[group]] = found
        if region.any():
            sure[case.name] = confidence(cells[:, region])
    return scores, sure


def decided_masks(
    rows: np.ndarray, table: LabelSetTable, at: Coarsening
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Find the masks of a case that its annotation decides.

    Args:
        rows: of the table, one a voxel (`LabelSetLookup`).
        table: the label sets of the data set.
        at: the coarsening whose foreground groups are judged.

    Yields:
        A group of which some voxel is decided, the decided voxels, and those of the group.
    """
    member, decided = table.member(at), table.decided(at)
    for group in at.foreground:
        known = decided[rows, group]
        if known.any():
            yield group, known, member[rows, group] & known


def _labelled_groups(case: Case, at: Coarsening) -> dict[int, bool]:
    """Find the groups of which a case's image labels say whether they are there."""
    found: dict[int, bool] = {}
    for group in at.foreground:
        leaves = at.groups[group]
        for node, value in case.image_labels.items():
            if node in at.tree and str(value) in ("0", "1"):
                inside = at.tree.leaves_under(node)
                if int(value) and inside <= leaves:
                    found[group] = True
                elif not int(value) and leaves <= inside:
                    found[group] = False
    return found


def confidence(log_probabilities: np.ndarray) -> dict[str, float]:
    """Return how sure a prediction is, as means over its voxels.

    Args:
        log_probabilities: (cells, voxels).

    Returns:
        "confidence", the mean of the largest probability, and "entropy", the mean of the entropy
        over
        log(cells), from 0 to 1.
    """
    p = np.exp(log_probabilities)
    entropy = -(p * log_probabilities).sum(axis=0) / np.log(len(p))
    return {"confidence": float(p.max(axis=0).mean()), "entropy": float(entropy.mean())}


def mean_score(scores: Mapping[str, Mapping[str, float]]) -> tuple[float, dict[str, float]]:
    """Return the mean over groups of their means over cases, and these means by group.

    It is NaN where there is nothing.
    """
    groups = sorted({g for case in scores.values() for g in case})
    means = {g: float(np.mean([c[g] for c in scores.values() if g in c])) for g in groups}
    return (float(np.mean(list(means.values()))) if means else float("nan")), means
