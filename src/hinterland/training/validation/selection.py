"""Choose the best checkpoint by what it is for: masks (Dice) or image labels (AUROC)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan

import numpy as np
from sklearn.metrics import roc_auc_score

from hinterland.types import HinterlandError

SCALED = (100, 224)
"""An image counts as positive from 100 voxels of a 224 x 224 slice on, scaled to its grid."""


@dataclass(frozen=True)
class Presence:
    """Whether a group is in an image: what a model says (`score`, `called`) and what is true."""

    score: float
    called: bool
    truth: bool


def presence(probability: np.ndarray, truth: bool) -> Presence:
    """Say whether a group is in an image.

    Args:
        probability: Of the group, (..., y, x).
        truth: Whether it is there.

    Returns:
        `score` is the mean of the tau largest probabilities, tau being 100 pixels of a 224 x 224
        image scaled to this grid; `called` is whether tau voxels reach 0.5.
    """
    pixels, edge = SCALED
    tau = max(1, round(pixels * probability.shape[-1] * probability.shape[-2] / edge**2))
    flat = probability.ravel()
    largest = np.partition(flat, flat.size - min(tau, flat.size))[-min(tau, flat.size) :]
    return Presence(float(largest.mean()), int((flat >= 0.5).sum()) >= tau, truth)


def selection_score(
    select: str, dice: float, presences: Mapping[str, Mapping[str, Presence]]
) -> float:
    """Compute what the best checkpoint is best at.

    Args:
        select: "dice", "auroc", "balanced-accuracy" or "last".
        dice: The mean Dice.
        presences: Case -> group -> presence.

    Returns:
        The Dice; or AUROC or balanced accuracy (recall and specificity averaged), the mean over the
        groups that are in some images and not in others; NaN where there is no such group, and for
        "last".
    """
    if select == "dice":
        return dice
    if select == "last":
        return nan
    groups = sorted({g for case in presences.values() for g in case})
    values = []
    for group in groups:
        found = [case[group] for case in presences.values() if group in case]
        truth = np.array([p.truth for p in found])
        if truth.all() or not truth.any():
            continue
        if select == "auroc":
            values.append(float(roc_auc_score(truth, [p.score for p in found])))
        else:
            right = np.array([p.called for p in found]) == truth
            values.append(float(right[truth].mean() + right[~truth].mean()) / 2)
    return float(np.mean(values)) if values else nan


def require_presence(select: str, presences: Mapping[str, Mapping[str, Presence]]) -> None:
    """Refuse AUROC and balanced accuracy where all validation images have one label.

    Args:
        select: the score that chooses the checkpoint.
        presences: case -> group -> presence.

    Raises:
        HinterlandError: the score cannot choose.
    """
    if select in ("auroc", "balanced-accuracy"):
        score = selection_score(select, nan, presences)
        if not np.isfinite(score):
            raise HinterlandError(
                f"validation.select={select} needs validation images with the target and without "
                f"it; all {len(presences)} are alike. Take validation.select=dice or last, or give "
                "validation cases of both kinds."
            )
