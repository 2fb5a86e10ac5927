"""How large a patch and a batch may be: nnU-Net's search under a memory budget."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hinterland.data.planning.topology import MIN_EDGE, Topology, feature_voxels, topology
from hinterland.types import HinterlandError

MIN_BATCH = 2
DATASET_SHARE = 0.05
"""A batch may not show more than this share of the data set's voxels."""
REFERENCE_GB = 8.0
REFERENCE_VOXELS = {2: 85_000_000, 3: 560_000_000}
REFERENCE_BATCH = {2: 12, 3: 2}
"""Feature-map numbers of a patch that fill 8 GB at this batch size, as nnU-Net measured them."""


def fit_patch(
    spacing: np.ndarray, median: np.ndarray, voxels: float, memory_gb: float, classes: int
) -> tuple[Topology, int]:
    """Return the largest patch that two of fit into memory, its network, and the batch size.

    It starts as a cube in mm (at most the median shape) and is shortened along the axis that covers
    most of the median shape. Memory that is left makes the batch larger, up to 5 % of `voxels`.

    Args:
        spacing: target spacing in mm, one number an axis.
        median: shape of the median case at that spacing.
        voxels: of all cases together.
        memory_gb: what a training step may take.
        classes: output channels.

    Returns:
        The topology, whose `patch` it is, and the batch size.
    """
    dims = len(spacing)
    edge = {2: 2048, 3: 256}[dims]
    fine = 1 / spacing
    cube = [round(f * edge / math.prod(fine.tolist()) ** (1 / dims)) for f in fine]
    best = topology(spacing.tolist(), [min(c, m) for c, m in zip(cube, median, strict=True)])
    allowed = REFERENCE_VOXELS[dims] * memory_gb / REFERENCE_GB
    per_item = allowed * REFERENCE_BATCH[dims]
    while (cost := feature_voxels(best.patch, best.network(), classes)) * MIN_BATCH > per_item:
        best = _shorten(best, spacing, median, memory_gb)
    batch = min(round(per_item / cost), round(voxels * DATASET_SHARE / math.prod(best.patch)))
    return best, max(batch, MIN_BATCH)


def _shorten(best: Topology, spacing: np.ndarray, median: np.ndarray, memory: float) -> Topology:
    share = np.asarray(best.patch) / median
    for axis in np.argsort(share)[::-1]:
        # with the divisor of a shorter patch, so that no valid size is skipped
        shorter = list(best.patch)
        shorter[axis] -= best.divisor[axis]
        if shorter[axis] < MIN_EDGE:
            continue
        step = topology(spacing.tolist(), shorter).divisor[axis]
        shorter = list(best.patch)
        shorter[axis] -= step
        return topology(spacing.tolist(), shorter)
    raise HinterlandError(
        f"no network fits into {memory:g} GB, not even with the patch {best.patch}. Give --memory "
        "a larger number."
    )


def needs_low_resolution(
    spacing: np.ndarray, median: np.ndarray, patch: Sequence[int], memory_gb: float, classes: int
) -> bool:
    """Tell whether a patch sees so little of a case that nnU-Net would add a coarser first network.

    That is: below a quarter of the voxels, and a grid on which a patch sees a quarter has less than
    half of them. nnU-Net then computes the Dice loss of 3D patches over the batch, because many
    patches lack a class.

    Args:
        spacing: target spacing in mm, one number an axis.
        median: shape of the median case at that spacing.
        patch: voxels.
        memory_gb: what a training step may take.
        classes: output channels.

    Returns:
        Whether it would.
    """
    coarse, whole = spacing.copy(), math.prod(median.tolist())
    size, here = whole, math.prod(patch)
    while here / size < 0.25:
        ratio = coarse.max() / coarse
        coarse *= np.where(ratio > 2, 1.03, 1.0) if (ratio > 2).any() else 1.03
        shape = median * spacing / coarse
        size = math.prod(shape.tolist())
        fitted, _ = fit_patch(coarse, np.round(shape), size, memory_gb, classes)
        here = math.prod(fitted.patch)
    return bool(whole / size >= 2)
