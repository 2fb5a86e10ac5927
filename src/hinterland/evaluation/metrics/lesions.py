"""Lesion-wise metrics: connected components matched one to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hinterland.evaluation.metrics.overlap import millilitres
from hinterland.evaluation.metrics.surface import as_image, check_pair
from hinterland.types.box import bounding_box, joint_box

MINIMUM_IOU = 0.1
VOLUME_BINS_ML = (0.0, 0.1, 1.0, 10.0, float("inf"))


@dataclass(frozen=True)
class LesionMatch:
    """Components of two masks and which belong together.

    Attributes:
        reference: component volumes in mL (voxels where the spacing is 1), in the order of their
            numbers.
        prediction: component volumes in mL (voxels where the spacing is 1), in the order of their
            numbers.
        partner: for each reference component the matched prediction component, or -1.
        dice: Dice of each matched pair, NaN for an unmatched reference component.
    """

    reference: np.ndarray
    prediction: np.ndarray
    partner: np.ndarray
    dice: np.ndarray

    @property
    def found(self) -> np.ndarray:
        """(reference components,) bool."""
        return self.partner >= 0

    @property
    def true_positives(self) -> int:
        """Reference components that were found."""
        return int(np.count_nonzero(self.found))

    @property
    def false_positives(self) -> int:
        """Predicted components without a partner."""
        return self.prediction.size - self.true_positives

    @property
    def mean_dice(self) -> float:
        """Dice averaged over the matched components; NaN without a match."""
        return float(self.dice[self.found].mean()) if self.found.any() else float("nan")


def match_lesions(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    *,
    minimum_iou: float = MINIMUM_IOU,
) -> LesionMatch:
    """Match the connected components (26 neighbours in 3D, 8 in 2D) of two boolean masks.

    The assignment maximises the summed IoU (Hungarian method) over pairs with IoU > minimum_iou;
    one component has at most one partner.

    Args:
        prediction: (y, x) or (z, y, x) bool.
        reference: bool of the same shape.
        spacing: one length per axis, in mm.
        minimum_iou: which the IoU of a pair must exceed.

    Returns:
        The matched pairs, and what is left over.

    Raises:
        HinterlandError: masks and spacing do not belong together.

    >>> reference = np.array([[1, 1, 0, 0, 1, 0, 1]], bool)
    >>> prediction = np.array([[0, 1, 0, 1, 1, 0, 0]], bool)
    >>> match_lesions(prediction, reference, (1.0, 1.0)).partner.tolist()
    [0, 1, -1]
    """
    from scipy import ndimage
    from scipy.optimize import linear_sum_assignment

    check_pair(prediction, reference, spacing)
    voxel = millilitres(spacing)
    (prediction, _), (reference, _) = (as_image(m, spacing) for m in (prediction, reference))
    boxes = [b for b in (bounding_box(prediction), bounding_box(reference)) if b is not None]
    if boxes:
        box = joint_box(boxes[0], boxes[-1])
        prediction, reference = prediction[box], reference[box]
    everywhere = np.ones((3,) * reference.ndim, dtype=bool)
    ref, n_ref = ndimage.label(reference, structure=everywhere)
    pred, n_pred = ndimage.label(prediction, structure=everywhere)
    size_ref = np.bincount(ref[reference], minlength=n_ref + 1)[1:]
    size_pred = np.bincount(pred[prediction], minlength=n_pred + 1)[1:]
    both = prediction & reference
    shared = np.zeros((n_ref, n_pred))
    np.add.at(shared, (ref[both] - 1, pred[both] - 1), 1)
    iou = shared / np.maximum(size_ref[:, None] + size_pred[None, :] - shared, 1)
    iou = np.where(iou > minimum_iou, iou, 0.0)
    partner = np.full(n_ref, -1)
    rows, columns = linear_sum_assignment(iou, maximize=True)
    real = iou[rows, columns] > 0
    partner[rows[real]] = columns[real]
    scores = np.full(n_ref, np.nan)
    hits = np.flatnonzero(partner >= 0)
    mates = partner[hits]
    scores[hits] = 2 * shared[hits, mates] / (size_ref[hits] + size_pred[mates])
    return LesionMatch(size_ref * voxel, size_pred * voxel, partner, scores)
