"""From a fingerprint to a plan, by nnU-Net's published rules (version 2).

Isensee et al., Nature Methods 18 (2021), 203-211. `docs/planning.md` holds these plans against
nnU-Net's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hinterland.data.planning.fingerprint import Fingerprint
from hinterland.data.planning.patch_size import (
    REFERENCE_BATCH,
    REFERENCE_GB,
    REFERENCE_VOXELS,
    fit_patch,
    needs_low_resolution,
)
from hinterland.data.planning.topology import feature_voxels, parameter_count
from hinterland.data.preprocessing.resample import ANISOTROPY, resampled_shape
from hinterland.types import HinterlandError, Normalisation, Plan

SLICES_FOR_3D = 16
"""With fewer slices a network could pool along z once at most: 2D is then the better default."""
_COLOURS = ("r", "g", "b", "red", "green", "blue", "rgb", "rgb_to_0_1")


def make_plan(
    fingerprint: Fingerprint,
    dims: Literal[2, 3] | None = None,
    memory_gb: float = 8.0,
    classes: int = 2,
) -> Plan:
    """Plan preprocessing, patches and network.

    Args:
        fingerprint: what was measured.
        dims: 2 (slices across the coarsest axis, never resampled along it) or 3; None takes 3 where
            the spacing is known and volumes have at least `SLICES_FOR_3D` slices.
        memory_gb: what a training step may take by nnU-Net's estimate (a GPU in mixed precision; a
            CPU in float32 takes about twice).
        classes: output channels; a hundred take a third of the memory of a step in 3D.

    Returns:
        The plan.

    Raises:
        HinterlandError: 3D is asked for single slices, or nothing fits the memory.
    """
    spacings = fingerprint.spacings
    if not fingerprint.spacing_known:
        spacings = ((1.0, 1.0, 1.0),) * len(fingerprint.shapes)
    target = target_spacing(spacings, fingerprint.shapes)
    order = transpose_for(target, fingerprint.shapes)
    shapes = [
        resampled_shape(shape, spacing, target.tolist())
        for shape, spacing in zip(fingerprint.shapes, spacings, strict=True)
    ]
    median = np.median(shapes, axis=0)[list(order)]
    spacing = target[list(order)]
    if dims is None:
        dims = 3 if fingerprint.spacing_known and median[0] >= SLICES_FOR_3D else 2
    if dims == 3 and median[0] == 1:
        raise HinterlandError(
            "3D was asked for, but the images have one slice. Use --dims 2, or leave it away."
        )
    voxels = math.prod(median.tolist()) * len(shapes)
    best, batch = fit_patch(spacing[3 - dims :], median[3 - dims :], voxels, memory_gb, classes)
    z, y, x = spacing.tolist()
    return Plan(
        dims=dims,
        channels=fingerprint.channels,
        normalisation=normalisations(fingerprint),
        spacing=(None if dims == 2 else z, y, x),
        unit="mm" if fingerprint.spacing_known else "voxel",
        transpose=order,
        median_shape=(round(median[0]), round(median[1]), round(median[2])),
        patch_size=best.patch,
        batch_size=batch,
        batch_dice=dims == 2
        or needs_low_resolution(spacing, median, best.patch, memory_gb, classes),
        network=best.network(),
        fingerprint=fingerprint.hash,
        memory_gb=memory_gb,
    )


def target_spacing(
    spacings: Sequence[Sequence[float]], shapes: Sequence[Sequence[int]]
) -> np.ndarray:
    """Return the median per axis; for thick slices a finer one, so that few cases lose slices.

    Where the coarsest axis is more than three times as coarse as the others and has less than a
    third of their voxels, its 10th percentile counts (but never finer than the other axes).
    """
    target = np.median(np.asarray(spacings, float), axis=0)
    size = np.median(np.asarray(shapes, float), axis=0)
    worst = int(np.argmax(target))
    others = [a for a in range(3) if a != worst]
    coarse = target[worst] > ANISOTROPY * target[others].max()
    short = size[worst] * ANISOTROPY < size[others].min()
    if coarse and short:
        finer = np.percentile(np.asarray(spacings, float)[:, worst], 10)
        others_max = target[others].max()
        target[worst] = finer if finer >= others_max else others_max + 1e-5
    return target


def transpose_for(target: np.ndarray, shapes: Sequence[Sequence[int]]) -> tuple[int, int, int]:
    """Return the order of axes that puts the axis of the coarsest spacing first.

    Of 2D images, the axis of length 1 comes first.
    """
    flat = [a for a in range(3) if all(shape[a] == 1 for shape in shapes)]
    first = flat[0] if flat else int(np.argmax(target))
    second, third = (a for a in range(3) if a != first)
    return first, second, third


def normalisations(fingerprint: Fingerprint) -> tuple[Normalisation, ...]:
    """Return one scheme per channel, from its name (without regard to case).

    "CT": clipped and scaled by the foreground of the data set. "R", "G", "B", "rgb_to_0_1":
    x / 255. "rescale_to_0_1": from the case's lowest and highest. "noNorm": as it is. All others:
    z-score of the case, of its body alone where cropping keeps less than 3/4 of the median case.
    """
    schemes = []
    for name, stats in zip(fingerprint.channels, fingerprint.intensities, strict=True):
        key = name.casefold()
        if key == "ct":
            low, high = stats.percentile_00_5, stats.percentile_99_5
            schemes.append(Normalisation("ct", low, high, stats.mean, stats.std))
        elif key in _COLOURS:
            schemes.append(Normalisation("rescale", lower=0.0, upper=255.0))
        elif key == "rescale_to_0_1":
            schemes.append(Normalisation("rescale"))
        elif key == "nonorm":
            schemes.append(Normalisation("none"))
        else:
            schemes.append(Normalisation("zscore", masked=fingerprint.kept < 0.75))
    return tuple(schemes)


@dataclass(frozen=True)
class PlanCost:
    """What a plan's U-Net takes: trainable parameters, and GB per training step by estimate."""

    parameters: int
    memory_gb: float

    def __str__(self) -> str:
        return f"{self.parameters / 1e6:.1f} M parameters, about {self.memory_gb:.1f} GB"


def plan_cost(plan: Plan, classes: int = 2) -> PlanCost:
    """Return the parameters and the memory (GB) that a plan's plain U-Net needs.

    Memory is estimated as it was when the plan was made.
    """
    reference = REFERENCE_VOXELS[plan.dims] * REFERENCE_BATCH[plan.dims]
    used = feature_voxels(plan.patch_size, plan.network, classes) * plan.batch_size
    return PlanCost(
        parameters=parameter_count(plan.network, len(plan.channels), classes),
        memory_gb=REFERENCE_GB * used / reference,
    )
