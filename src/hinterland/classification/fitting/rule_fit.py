"""Fit t and tau of the rule on validation cases, where that is worth it.

A free search over some 300 pairs finds an AUROC of .63 in maps that know nothing. The default pair
(t = 0.5, tau = 100 scaled to the grid) stays unless the best one gains more than one standard error
of the gain, both on all validation cases and, on average, on cases that a resample left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from hinterland.classification.fitting.rule import MaskCounts, Rule, require_validation
from hinterland.classification.scores.resampling import resample_weights, weighted_auroc
from hinterland.types import HinterlandError

RESAMPLES = 200
FOLDS = 5


def fit_rule(
    validation: Mapping[str, MaskCounts],
    labels: Mapping[str, int],
    split: Mapping[str, str],
    *,
    default: Rule | None = None,
    taus: Iterable[int] | None = None,
    largest: int | None = None,
    groups: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Rule:
    """Find the t and tau of the highest AUROC, or keep the default pair.

    Args:
        validation: Case -> counts of its map.
        labels: Case -> 0 or 1.
        split: Case -> "train", "val" or "test".
        default: The pair to keep unless another one is better by more than a standard error. Its
            tau is lowered to `largest`.
        taus: Values of tau to try; default, powers of two and the default's.
        largest: No tau above this is tried: the voxels of the smallest lesion seen in training.
        groups: Case -> patient; patients are resampled.
        seed: Of the bootstrap.

    Returns:
        The rule; `cases` names those it was fitted on, none where the default was kept.

    Raises:
        HinterlandError: A case is not of the validation split, or all are of one label.
    """
    require_validation(validation, split)
    names = sorted(validation)
    truth = np.array([labels[name] for name in names])
    if len(set(truth.tolist())) < 2:
        raise HinterlandError(
            f"t and tau need validation cases of both labels; all {len(names)} are "
            f"{'positive' if truth.size and truth[0] else 'negative'}. Keep the default rule."
        )
    kept = default or Rule()
    most = max(int(c.positive.max()) for c in validation.values())
    most = most if largest is None else min(most, largest)
    if taus is None:
        kept = Rule(kept.t, kept.tau if largest is None else min(kept.tau, largest))
        taus = {2**i for i in range(max(most, 1).bit_length())} | {kept.tau}
    pairs = _candidates(validation[names[0]].thresholds, taus, kept)
    scores = np.stack([_scores([validation[n] for n in names], *pair) for pair in pairs])
    patients = [(groups or {}).get(name) or name for name in names]
    best = _better(truth, scores, patients, seed)
    return kept if best == 0 else Rule(*pairs[best], frozenset(names))


def cross_fitted(
    validation: Mapping[str, MaskCounts],
    labels: Mapping[str, int],
    split: Mapping[str, str],
    rule: Rule,
    *,
    default: Rule,
    taus: Iterable[int] | None = None,
    largest: int | None = None,
    groups: Mapping[str, str] | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Score validation cases so that calibration and threshold may be fitted on the scores.

    A rule that was fitted scores its own cases too well. Each fold of patients is scored by a rule
    that the other folds chose. Where `rule` is the default, or there are too few patients for two
    folds, it scores all of them.

    Args:
        validation: case -> counts of its map.
        labels: case -> 0 or 1.
        split: case -> its split.
        rule: what `fit_rule` returned for these arguments.
        default: the rule where nothing can be fitted.
        taus: candidates; default, as `fit_rule`.
        largest: voxels of the largest image.
        groups: case -> patient; default, every case is its own.
        seed: of the folds.

    Returns:
        Case -> score.
    """
    names = sorted(validation)
    truth = np.array([labels[name] for name in names])
    patients = np.array([(groups or {}).get(name) or name for name in names])
    least = min(len(set(patients[truth == label])) for label in (0, 1))
    found = {name: validation[name].score(rule.t, rule.tau) for name in names}
    if not rule.cases or least < 2:
        return found
    parts = StratifiedGroupKFold(min(FOLDS, least), shuffle=True, random_state=seed)
    taus = None if taus is None else tuple(taus)
    for rest, fold in parts.split(truth, truth, patients):
        others = {names[i]: validation[names[i]] for i in rest}
        if len({labels[name] for name in others}) < 2:
            continue
        chosen = fit_rule(
            others, labels, split, default=default, taus=taus, largest=largest, groups=groups,
            seed=seed,
        )  # fmt: skip
        found |= {names[i]: validation[names[i]].score(chosen.t, chosen.tau) for i in fold}
    return found


def _candidates(
    thresholds: Sequence[float], taus: Iterable[int], kept: Rule
) -> list[tuple[float, int]]:
    """Return all pairs of t and tau, the default first, then the nearest to it.

    They are sorted by t, then by the logarithm of tau.
    """
    pairs = {(t, tau) for t in thresholds for tau in taus} - {(kept.t, kept.tau)}
    near = sorted(pairs, key=lambda p: (abs(p[0] - kept.t), abs(np.log(p[1] / kept.tau)), p))
    return [(kept.t, kept.tau), *near]


def _scores(counts: Sequence[MaskCounts], t: float, tau: int) -> np.ndarray:
    return np.array([c.score(t, tau) for c in counts])


def _better(truth: np.ndarray, scores: np.ndarray, patients: Sequence[str], seed: int) -> int:
    """Find the row of `scores` (pairs, cases) that is truly better than the first one, or 0."""
    whole = np.ones((1, len(truth)))
    best = int(np.argmax([weighted_auroc(truth, row, whole)[0] for row in scores]))
    gain = _gain(truth, scores[best], scores[0], whole)[0]
    if best == 0 or not gain > 0:
        return 0
    weights, _ = resample_weights(patients, patients, RESAMPLES, seed)
    error = float(np.nanstd(_gain(truth, scores[best], scores[0], weights)))
    inside = np.stack([weighted_auroc(truth, row, weights) for row in scores])
    chosen = np.argmax(np.nan_to_num(inside), axis=0)
    outside = [
        _gain(truth, scores[row], scores[0], (weights[i : i + 1] == 0).astype(float))[0]
        for i, row in enumerate(chosen)
    ]
    known = np.array(outside)[np.isfinite(outside)]
    honest = float(known.mean()) if known.size else 0.0
    return best if min(gain, honest) > error else 0


def _gain(
    truth: np.ndarray, scores: np.ndarray, before: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    return weighted_auroc(truth, scores, weights) - weighted_auroc(truth, before, weights)
