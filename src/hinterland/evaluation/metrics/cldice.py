"""clDice: whether two tubes have the same course (Shit et al., CVPR 2021)."""

from __future__ import annotations

import numpy as np


def skeleton(mask: np.ndarray) -> np.ndarray:
    """Thin a mask to its centre line; what nothing is left of stays as it is.

    Args:
        mask: (y, x) or (z, y, x) bool.

    Returns:
        bool of the same shape, a part of the mask.
    """
    from skimage.morphology import skeletonize

    thin = np.asarray(skeletonize(mask), dtype=bool)
    return thin if thin.any() else mask


def cl_dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Return the centre-line Dice of two masks, in 0..1.

    With S the centre line of a mask, it is the harmonic mean of the topology precision
    |S_P and R| / |S_P| and the topology sensitivity |S_R and P| / |S_R|: a vessel counts by its
    length, not by its volume.

    Args:
        prediction: P, (y, x) or (z, y, x) bool, not empty.
        reference: R, bool of the same shape, not empty.

    Returns:
        1 where each centre line lies in the other mask, 0 where none of it does.

    Example:
        >>> tube = np.zeros((7, 20), bool)
        >>> tube[2:5, 1:19] = True
        >>> round(cl_dice(tube, tube), 4)
        1.0
    """
    lines = skeleton(prediction), skeleton(reference)
    precision = np.count_nonzero(lines[0] & reference) / np.count_nonzero(lines[0])
    sensitivity = np.count_nonzero(lines[1] & prediction) / np.count_nonzero(lines[1])
    total = precision + sensitivity
    return float(2 * precision * sensitivity / total) if total else 0.0
