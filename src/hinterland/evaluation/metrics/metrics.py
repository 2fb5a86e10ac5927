"""Segmentation metrics of one class, as pure functions of two boolean masks.

`prediction` and `reference` are boolean arrays of one shape, (y, x) or (z, y, x); `spacing` has one
length per axis, in mm (or ones, for distances in voxels). Volumes of one slice are 2D images.
`empty` names the empty-mask policy (see `hinterland.evaluation.metrics.empty`). All functions raise
HinterlandError where masks and spacing do not belong together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hinterland.evaluation.metrics.empty import diagonal, empty_policy
from hinterland.evaluation.metrics.overlap import Counts, millilitres
from hinterland.evaluation.metrics.surface import (
    AverageMode,
    HausdorffMode,
    as_image,
    bounding_box,
    check_pair,
    grid_distances,
    joint_box,
)

METRICS = (
    "dice",
    "jaccard",
    "hd95",
    "assd",
    "nsd",
    "volume_error_ml",
    "relative_volume_difference",
)


@dataclass(frozen=True)
class MetricSettings:
    """The definitions in force for one table.

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
        """The NSD tolerance of a class."""
        if isinstance(self.tolerance, Mapping):
            return float(self.tolerance.get(name, 1.0))
        return float(self.tolerance)

    def definition(self, name: str) -> str:
        """The selectable definitions in words, for a column of the table."""
        return f"hd95={self.hausdorff} assd={self.average} nsd={self.tolerance_of(name):g}"


def measure(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    settings: MetricSettings | None = None,
    *,
    name: str = "",
    image_shape: Sequence[int] | None = None,
) -> dict[str, float]:
    """All metrics of `METRICS`, plus voxel counts and volumes of both masks, computed together.

    `name` is the class, for its tolerance; `image_shape` the size of the whole image where the
    masks are a crop, for the diagonal. Distances are in `settings.unit`; volumes in mL, NaN
    where the unit is voxels.
    """
    settings = settings or MetricSettings()
    check_pair(prediction, reference, spacing)
    millimetres = settings.unit == "mm"
    voxel = millilitres(spacing) if millimetres else float("nan")
    if not millimetres:
        spacing = (1.0,) * len(spacing)
    (prediction, lengths), (reference, _) = (as_image(m, spacing) for m in (prediction, reference))
    shape = (image_shape or prediction.shape)[-prediction.ndim :]
    boxes = bounding_box(prediction), bounding_box(reference)
    if boxes[0] is not None and boxes[1] is not None:
        box = joint_box(boxes[0], boxes[1])
        prediction, reference = prediction[box], reference[box]
    counts = Counts.of(prediction, reference)
    cell = empty_policy(settings.empty).cell(boxes[0] is None, boxes[1] is None)
    if cell is not None:
        far, mean = cell.distances(diagonal(shape, lengths))
        result = {"dice": cell.overlap, "jaccard": cell.overlap,
                  "hd95": far, "assd": mean, "nsd": cell.nsd}  # fmt: skip
    else:
        distances = grid_distances(prediction, reference, lengths)
        result = {
            "dice": counts.dice,
            "jaccard": counts.jaccard,
            "hd95": distances.hausdorff(95.0, settings.hausdorff),
            "assd": distances.average(settings.average),
            "nsd": distances.within(settings.tolerance_of(name)),
        }
    return result | {
        "volume_error_ml": (counts.prediction - counts.reference) * voxel,
        "relative_volume_difference": counts.relative_volume_difference,
        "reference_ml": counts.reference * voxel,
        "prediction_ml": counts.prediction * voxel,
        "reference_voxels": counts.reference,
        "prediction_voxels": counts.prediction,
    }


def dice(prediction: np.ndarray, reference: np.ndarray, *, empty: str = "penalty") -> float:
    """Dice similarity coefficient 2 |P and R| / (|P| + |R|), in 0..1."""
    check_pair(prediction, reference, (1.0,) * prediction.ndim)
    counts = Counts.of(prediction, reference)
    cell = empty_policy(empty).cell(not counts.prediction, not counts.reference)
    return counts.dice if cell is None else cell.overlap


def jaccard(prediction: np.ndarray, reference: np.ndarray, *, empty: str = "penalty") -> float:
    """Jaccard index (IoU) |P and R| / |P or R|, in 0..1."""
    check_pair(prediction, reference, (1.0,) * prediction.ndim)
    counts = Counts.of(prediction, reference)
    cell = empty_policy(empty).cell(not counts.prediction, not counts.reference)
    return counts.jaccard if cell is None else cell.overlap


def hd95(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    *,
    mode: HausdorffMode = "directed_max",
    empty: str = "penalty",
) -> float:
    """95th percentile Hausdorff distance, in the unit of `spacing`.

    `directed_max`: max(P95(d(P, R)), P95(d(R, P))) (MONAI, Metrics Reloaded); `pooled`:
    P95(d(P, R) and d(R, P) together) (medpy); d(P, R) are the distances of P's surface voxels to
    R's surface.
    """
    return _measure(prediction, reference, spacing, empty=empty, hausdorff=mode)["hd95"]


def assd(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    *,
    mode: AverageMode = "symmetric",
    empty: str = "penalty",
) -> float:
    """Average surface distance, in the unit of `spacing`.

    `symmetric` (ASSD): (sum d(P, R) + sum d(R, P)) / (|dP| + |dR|), |dP| the number of surface
    voxels; `directed` (medpy's asd): mean of d(P, R), prediction to reference.
    """
    return _measure(prediction, reference, spacing, empty=empty, average=mode)["assd"]


def nsd(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    *,
    tolerance: float = 1.0,
    empty: str = "penalty",
) -> float:
    """Normalised surface Dice: share of both surfaces' voxels within `tolerance` of the other."""
    return _measure(prediction, reference, spacing, empty=empty, tolerance=tolerance)["nsd"]


def volume_error(prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]) -> float:
    """Predicted minus reference volume in mL, for a spacing in mm."""
    check_pair(prediction, reference, spacing)
    return Counts.of(prediction, reference).volume_error(spacing)


def relative_volume_difference(prediction: np.ndarray, reference: np.ndarray) -> float:
    """100 (|P| - |R|) / |R| in percent; NaN where the reference is empty."""
    check_pair(prediction, reference, (1.0,) * prediction.ndim)
    return Counts.of(prediction, reference).relative_volume_difference


def _measure(
    prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float], **settings: object
) -> dict[str, float]:
    return measure(prediction, reference, spacing, MetricSettings(**settings))  # type: ignore[arg-type]
