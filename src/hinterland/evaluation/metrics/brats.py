"""Lesion-wise Dice and HD95 as BraTS has scored them since 2023.

The convention of https://github.com/rachitsaluja/BraTS-2023-Metrics, written from its description:

1. Components of the reference that touch after a dilation are one lesion.
2. A predicted component belongs to every lesion whose dilation it touches; a lesion is scored
   against all of them together. Without any, Dice is 0 and HD95 374.
3. Predicted components that belong to no lesion are false positives: Dice 0, HD95 374.
4. Lesions up to a least volume do not count (what touches them is no false positive, either).
5. The mean over lesions and false positives; without any of them Dice 1, HD95 0.

HD95 is ours (`hinterland.evaluation.metrics.surface`), between voxel centres; the challenge's own
weighs pieces of surface, which moves single lesions by up to a voxel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from hinterland.evaluation.metrics.overlap import Counts
from hinterland.evaluation.metrics.surface import as_image, check_pair, grid_distances

WORST_HD95 = 374.0
"""The diagonal of a BraTS volume (240 x 240 x 155 mm), rounded up as the challenge has it."""

GLIOMA_DILATION, GLIOMA_VOLUME = 3, 50.0  # steps, mm3; metastases: 1 and 2, meningioma: 1 and 50


@dataclass(frozen=True)
class LesionScores:
    """Dice and HD95 of each lesion that counts, and the false positives."""

    dice: tuple[float, ...]
    hd95: tuple[float, ...]
    false_positives: int

    @property
    def mean_dice(self) -> float:
        """Dice over lesions and false positives; 1 without any."""
        n = len(self.dice) + self.false_positives
        return sum(self.dice) / n if n else 1.0

    @property
    def mean_hd95(self) -> float:
        """HD95 over lesions and false positives; 0 without any."""
        n = len(self.hd95) + self.false_positives
        return (sum(self.hd95) + WORST_HD95 * self.false_positives) / n if n else 0.0


def brats_lesions(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    *,
    dilation: int = GLIOMA_DILATION,
    least_volume: float = GLIOMA_VOLUME,
) -> LesionScores:
    """Score each lesion of a case as BraTS does.

    Args:
        prediction: (y, x) or (z, y, x) bool.
        reference: bool of the same shape.
        spacing: one length per axis, in mm.
        dilation: steps by which the reference grows (over faces and edges) to join lesions and to
            meet predictions.
        least_volume: in mm3 (mm2 in 2D); lesions up to it do not count.

    Returns:
        The scores of the lesions.

    Raises:
        HinterlandError: masks and spacing do not belong together.

    Example:
        >>> reference = np.zeros((1, 20, 60), bool)
        >>> reference[:, 2:12, 2:12] = reference[:, 2:12, 40:50] = True
        >>> found = reference.copy()
        >>> found[:, :, 30:] = False
        >>> round(brats_lesions(found, reference, (1.0, 1.0, 1.0)).mean_dice, 4)
        0.5
    """
    from scipy import ndimage

    check_pair(prediction, reference, spacing)
    (prediction, lengths), (reference, _) = (as_image(m, spacing) for m in (prediction, reference))
    step = ndimage.generate_binary_structure(reference.ndim, min(2, reference.ndim))
    everywhere = np.ones((3,) * reference.ndim, bool)

    def grown(mask: np.ndarray) -> np.ndarray:
        return ndimage.binary_dilation(mask, step, iterations=dilation) if dilation else mask

    parts, _ = ndimage.label(prediction, everywhere)
    extent, lesions = ndimage.label(grown(reference), everywhere)
    matched: set[int] = set()
    dice, hd95 = [], []
    for number in range(1, lesions + 1):
        lesion = reference & (extent == number)
        touched = set(np.unique(parts[grown(lesion)]).tolist()) - {0}
        matched |= touched
        if np.count_nonzero(lesion) * prod(lengths) <= least_volume:
            continue
        found = np.isin(parts, list(touched))
        dice.append(Counts.of(found, lesion).dice)
        distances = grid_distances(found, lesion, lengths) if touched else None
        hd95.append(distances.hausdorff(95.0) if distances else WORST_HD95)
    false = set(range(1, int(parts.max(initial=0)) + 1)) - matched
    return LesionScores(tuple(dice), tuple(hd95), len(false))
