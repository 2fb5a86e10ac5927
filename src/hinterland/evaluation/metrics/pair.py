"""Two masks of one class, and what the metrics measure on them, each computed at most once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from hinterland.evaluation.metrics.brats import LesionScores, brats_lesions
from hinterland.evaluation.metrics.empty import EmptyPolicy, diagonal, empty_policy
from hinterland.evaluation.metrics.lesions import LesionMatch, match_lesions
from hinterland.evaluation.metrics.overlap import Counts, millilitres
from hinterland.evaluation.metrics.surface import (
    AverageMode,
    HausdorffMode,
    SurfaceDistances,
    as_image,
    check_pair,
    grid_distances,
    image_axes,
)
from hinterland.types.box import bounding_box, joint_box


@dataclass(frozen=True)
class MetricSettings:
    """The definitions in force for one table.

    Args:
        empty: name of the empty-mask policy, see `hinterland.evaluation.metrics.empty`.
        hausdorff: how HD95 joins its two directions, see `hd95`.
        average: which directions the surface distance averages over, see `assd`.
        tolerance: of NSD, one number or one per class name (classes not named: 1), in `unit`.
        unit: "mm", or "voxel" to measure distances, tolerances and penalties in voxels.
    """

    empty: str = "penalty"
    hausdorff: HausdorffMode = "directed_max"
    average: AverageMode = "symmetric"
    tolerance: float | Mapping[str, float] = 1.0
    unit: Literal["mm", "voxel"] = "mm"

    def __post_init__(self) -> None:
        empty_policy(self.empty)

    def tolerance_of(self, name: str) -> float:
        """Return the NSD tolerance of a class."""
        if isinstance(self.tolerance, Mapping):
            return float(self.tolerance.get(name, 1.0))
        return float(self.tolerance)

    def definition(self, name: str) -> str:
        """Describe the selectable definitions in words, for a column of the table."""
        return f"hd95={self.hausdorff} assd={self.average} nsd={self.tolerance_of(name):g}"


@dataclass(frozen=True)
class MaskPair:
    """Prediction P and reference R of one class of one case: what every metric is computed from.

    Attributes:
        prediction, reference: boolean, (y, x) or (z, y, x), cropped to what either holds.
        spacing: one length per axis, in mm, or ones where distances are in voxels.
        shape: size of the whole image along the same axes.
        voxel: volume of a voxel in mL; NaN where distances are in voxels.
        name: the class.
        settings: the definitions in force.
    """

    prediction: np.ndarray
    reference: np.ndarray
    spacing: tuple[float, ...]
    shape: tuple[int, ...]
    voxel: float
    name: str
    settings: MetricSettings

    @classmethod
    def of(
        cls,
        prediction: np.ndarray,
        reference: np.ndarray,
        spacing: Sequence[float],
        settings: MetricSettings | None = None,
        *,
        name: str = "",
        image_shape: Sequence[int] | None = None,
    ) -> MaskPair:
        """Check, reduce to the image's axes, and crop two boolean masks of one shape.

        Args:
            prediction: (y, x) or (z, y, x) bool.
            reference: bool of the same shape.
            spacing: one length per axis of the masks, in mm.
            settings: the definitions in force; default, the project's own.
            name: the class, for its tolerance.
            image_shape: size of the whole image where the masks are a crop of it. A volume of one
                slice, along whichever axis, is a 2D image.

        Returns:
            The pair, from which every metric is computed.

        Raises:
            HinterlandError: masks and spacing do not belong together.
        """
        settings = settings or MetricSettings()
        check_pair(prediction, reference, spacing)
        voxel = millilitres(spacing) if settings.unit == "mm" else float("nan")
        lengths = tuple(spacing) if settings.unit == "mm" else (1.0,) * len(spacing)
        whole = tuple(image_shape or prediction.shape)
        shape = tuple(whole[a] for a in image_axes(whole))
        (prediction, lengths), (reference, _) = (
            as_image(mask, lengths, whole) for mask in (prediction, reference)
        )
        boxes = bounding_box(prediction), bounding_box(reference)
        if boxes[0] is not None and boxes[1] is not None:
            box = joint_box(boxes[0], boxes[1])
            prediction, reference = prediction[box], reference[box]
        return cls(prediction, reference, lengths, shape, voxel, name, settings)

    @cached_property
    def counts(self) -> Counts:
        """Voxels of P, of R, and of both."""
        return Counts.of(self.prediction, self.reference)

    @cached_property
    def distances(self) -> SurfaceDistances:
        """Distances between the surfaces, in the unit of the spacing.

        Raises:
            HinterlandError: a mask is empty.
        """
        return grid_distances(self.prediction, self.reference, self.spacing)

    @cached_property
    def lesions(self) -> LesionMatch:
        """Connected components of both masks and which belong together."""
        return match_lesions(self.prediction, self.reference, self.spacing)

    @cached_property
    def brats(self) -> LesionScores:
        """Scores of the lesions as BraTS has them; computed whatever the policy for empty masks."""
        return brats_lesions(self.prediction, self.reference, self.spacing)

    @property
    def policy(self) -> EmptyPolicy:
        """What the metrics are worth where a mask is empty."""
        return empty_policy(self.settings.empty)

    @property
    def tolerance(self) -> float:
        """The NSD tolerance of this class, in the unit of the spacing."""
        return self.settings.tolerance_of(self.name)

    @property
    def diagonal(self) -> float:
        """Length of the image diagonal, in the unit of the spacing."""
        return diagonal(self.shape, self.spacing)
