"""Segmentation metrics of one class, as pure functions of two boolean masks.

`prediction` and `reference` are boolean arrays of one shape, (y, x) or (z, y, x); `spacing` has one
length per axis, in mm (or ones, for distances in voxels). A volume of one slice, along whichever
axis, is a 2D image. `empty` names the empty-mask policy (`hinterland.evaluation.metrics.empty`).
All functions raise HinterlandError where masks and spacing do not belong together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hinterland.evaluation.metrics.metric import Shown
from hinterland.evaluation.metrics.pair import MaskPair, MetricSettings
from hinterland.evaluation.metrics.registry import LESIONS, METRICS, metrics_shown
from hinterland.evaluation.metrics.surface import AverageMode, HausdorffMode

__all__ = [
    "MetricSettings", "assd", "dice", "example_masks", "hd95", "jaccard", "lesion_metrics",
    "measure", "nsd", "relative_volume_difference", "volume_error",
]  # fmt: skip


def example_masks() -> tuple[np.ndarray, np.ndarray]:
    """Return two squares of 4 x 4 in 8 x 8 pixels, the first a pixel to the right of the second.

    Example:
        >>> [int(mask.sum()) for mask in example_masks()]
        [16, 16]
    """
    prediction, reference = np.zeros((2, 8, 8), bool)
    prediction[2:6, 3:7] = reference[2:6, 2:6] = True
    return prediction, reference


def measure(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    settings: MetricSettings | None = None,
    *,
    name: str = "",
    image_shape: Sequence[int] | None = None,
    metrics: Sequence[str] | None = None,
) -> dict[str, float]:
    """Compute metrics by name, and voxel counts and volumes of both masks, together.

    Args:
        prediction: (y, x) or (z, y, x) bool.
        reference: bool of the same shape.
        spacing: one length per axis, in mm.
        settings: the definitions in force.
        name: the class, for its tolerance.
        image_shape: size of the whole image where the masks are a crop, for the diagonal.
        metrics: names of registered metrics; default, those of every table.

    Returns:
        Metric -> value, distances in `settings.unit`; then `reference_ml`, `prediction_ml` (NaN
        where the unit is voxels), `reference_voxels`, `prediction_voxels`.

    Example:
        >>> prediction, reference = example_masks()
        >>> found = measure(prediction, reference, (1.0, 2.0))
        >>> round(found["dice"], 4), round(found["hd95"], 4), found["prediction_voxels"]
        (0.75, 2.0, 16)
    """
    pair = MaskPair.of(prediction, reference, spacing, settings, name=name, image_shape=image_shape)
    names = metrics_shown(Shown.TABLE) if metrics is None else metrics
    return {metric: METRICS.get(metric).value(pair) for metric in names} | {
        "reference_ml": pair.counts.reference * pair.voxel,
        "prediction_ml": pair.counts.prediction * pair.voxel,
        "reference_voxels": pair.counts.reference,
        "prediction_voxels": pair.counts.prediction,
    }


def dice(prediction: np.ndarray, reference: np.ndarray, *, empty: str = "penalty") -> float:
    """Return the Dice similarity coefficient 2 |P and R| / (|P| + |R|), in 0..1.

    Args:
        prediction: (y, x) or (z, y, x) bool.
        reference: bool of the same shape.
        empty: the policy for empty masks.

    Returns:
        The coefficient; NaN where the policy drops the case.

    Example:
        >>> prediction, reference = example_masks()
        >>> round(dice(prediction, reference), 4)
        0.75
    """
    return _one("dice", prediction, reference, empty=empty)


def jaccard(prediction: np.ndarray, reference: np.ndarray, *, empty: str = "penalty") -> float:
    """Return the Jaccard index (IoU) |P and R| / |P or R|, in 0..1.

    Args:
        prediction: (y, x) or (z, y, x) bool.
        reference: bool of the same shape.
        empty: the policy for empty masks.

    Returns:
        The index; NaN where the policy drops the case.

    Example:
        >>> prediction, reference = example_masks()
        >>> round(jaccard(prediction, reference), 4)
        0.6
    """
    return _one("jaccard", prediction, reference, empty=empty)


def hd95(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    *,
    mode: HausdorffMode = "directed_max",
    empty: str = "penalty",
) -> float:
    """Return the 95th percentile Hausdorff distance, in the unit of `spacing`.

    Args:
        prediction: (y, x) or (z, y, x) bool.
        reference: bool of the same shape.
        spacing: one length per axis.
        mode: `directed_max`: max(P95(d(P, R)), P95(d(R, P))) (MONAI, Metrics Reloaded); `pooled`:
            P95(d(P, R) and d(R, P) together) (medpy). d(P, R) are the distances of P's surface
            voxels to R's surface.
        empty: the policy for empty masks.

    Returns:
        The distance; NaN where the policy drops the case.

    Example:
        >>> prediction, reference = example_masks()
        >>> round(hd95(prediction, reference, (1.0, 2.0)), 4)
        2.0
    """
    return _one("hd95", prediction, reference, spacing, empty=empty, hausdorff=mode)


def assd(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    *,
    mode: AverageMode = "symmetric",
    empty: str = "penalty",
) -> float:
    """Return the average surface distance, in the unit of `spacing`.

    Args:
        prediction: (y, x) or (z, y, x) bool.
        reference: bool of the same shape.
        spacing: one length per axis.
        mode: `symmetric` (ASSD): (sum d(P, R) + sum d(R, P)) / (|dP| + |dR|), |dP| the number of
            surface voxels; `directed` (medpy's asd): mean of d(P, R), prediction to reference.
        empty: the policy for empty masks.

    Returns:
        The distance; NaN where the policy drops the case.

    Example:
        >>> prediction, reference = example_masks()
        >>> round(assd(prediction, reference, (1.0, 1.0)), 6)
        0.5
    """
    return _one("assd", prediction, reference, spacing, empty=empty, average=mode)


def nsd(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    *,
    tolerance: float = 1.0,
    empty: str = "penalty",
) -> float:
    """Return the normalised surface Dice, in 0..1.

    It is the share of both surfaces' voxels that lie within `tolerance` of the other surface.

    Args:
        prediction: (y, x) or (z, y, x) bool.
        reference: bool of the same shape.
        spacing: one length per axis.
        tolerance: in the unit of `spacing`. Header rounding does not count: see
            `SurfaceDistances.within`.
        empty: the policy for empty masks.

    Returns:
        The share; NaN where the policy drops the case.

    Example:
        >>> prediction, reference = example_masks()
        >>> round(nsd(prediction, reference, (1.0, 1.0), tolerance=1.0), 4)
        1.0
    """
    return _one("nsd", prediction, reference, spacing, empty=empty, tolerance=tolerance)


def volume_error(prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]) -> float:
    """Return predicted minus reference volume in mL, for a spacing in mm.

    Args:
        prediction: (y, x) or (z, y, x) bool.
        reference: bool of the same shape.
        spacing: one length per axis, in mm.

    Returns:
        The difference.

    Example:
        >>> prediction, reference = example_masks()
        >>> round(volume_error(prediction[:, :6], reference[:, :6], (10.0, 10.0)), 4)
        -0.4
    """
    return _one("volume_error_ml", prediction, reference, spacing)


def relative_volume_difference(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Return 100 (|P| - |R|) / |R| in percent; NaN where the reference is empty.

    Example:
        >>> prediction, reference = example_masks()
        >>> round(relative_volume_difference(prediction[:, :6], reference[:, :6]), 4)
        -25.0
    """
    return _one("relative_volume_difference", prediction, reference)


def lesion_metrics(
    prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]
) -> dict[str, float]:
    """Compute the lesion-wise metrics of one class of one case.

    Args:
        prediction: (y, x) or (z, y, x) bool.
        reference: bool of the same shape.
        spacing: one length per axis, in mm.

    Returns:
        Sensitivity TP / reference lesions, precision TP / predicted lesions, F1 = 2 TP / (reference
        + predicted lesions), each NaN where it would divide by zero; false positives as a count;
        Dice averaged over matched lesions (NaN without a match); both numbers of lesions.

    Example:
        >>> prediction, reference = example_masks()
        >>> round(lesion_metrics(prediction, reference, (1.0, 1.0))["lesion_f1"], 4)
        1.0
    """
    pair = MaskPair.of(prediction, reference, spacing)
    entries = [METRICS.get(name) for name in METRICS.names()]
    return {m.name: m.value(pair) for m in entries if m.family == LESIONS}


def _one(
    metric: str,
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float] | None = None,
    **settings: object,
) -> float:
    lengths = (1.0,) * prediction.ndim if spacing is None else spacing
    chosen = MetricSettings(**settings)  # type: ignore[arg-type]
    return METRICS.get(metric).value(MaskPair.of(prediction, reference, lengths, chosen))
