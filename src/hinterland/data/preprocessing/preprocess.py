"""From a scan as it lies on disk to the array a network is trained on.

Order of work, as in nnU-Net: transpose, crop to the non-zero box, normalise, resample.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from scipy import ndimage

from hinterland.data.preprocessing.geometry import Geometry
from hinterland.data.preprocessing.resample import Shape, resample
from hinterland.types import HinterlandError, Normalisation, Plan
from hinterland.types.box import bounding_box


class Scan(Protocol):
    """What `preprocess` reads of a volume: array (C, z, y, x) and spacing (z, y, x) in mm."""

    @property
    def array(self) -> np.ndarray: ...

    @property
    def spacing(self) -> tuple[float, float, float]: ...


def preprocess(
    volume: Scan, plan: Plan, label: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None, Geometry]:
    """Bring one scan onto the grid and the scale of a plan.

    Args:
        volume: the image as read.
        plan: spacing, order of axes and normalisation.
        label: integers (z, y, x), or None.

    Returns:
        The image, float32 (C, z, y, x); the label's own integers, int16 (z, y, x), or None; and the
        `Geometry` that undoes it.

    Raises:
        HinterlandError: the channels or the label's shape do not fit, or an intensity is not
            finite.
    """
    if label is not None and label.shape != volume.array.shape[1:]:
        raise HinterlandError(
            f"image and label differ in shape: {volume.array.shape[1:]} and {label.shape} (z, y, "
            "x). Both must lie on one grid; `hinterland check` lists all such cases."
        )
    image, geometry = normalised(volume, plan)
    image = resample(image, geometry.shape, geometry.spacing, geometry.target, order=3)
    return image, None if label is None else geometry.apply_to_label(label), geometry


def normalised(volume: Scan, plan: Plan) -> tuple[np.ndarray, Geometry]:
    """Crop and normalise a scan: what `preprocess` does before it resamples.

    The scan is not needed after that, so that who is short of memory may forget it.

    Args:
        volume: the image as read.
        plan: spacing, order of axes and normalisation.

    Returns:
        The image, float32 (C, z, y, x), not yet on the plan's grid, and the `Geometry`.

    Raises:
        HinterlandError: the channels do not fit, or an intensity is not finite.
    """
    array = volume.array
    if len(array) != len(plan.channels):
        raise HinterlandError(
            f"the image has {len(array)} channels, the plan was made for {len(plan.channels)} "
            f"({', '.join(plan.channels)}). Give one file per channel, in that order."
        )
    geometry = geometry_of(array, volume.spacing, plan)
    # `order="C"` copies: the caller's array stays as it came
    image = np.array(geometry.crop(array), np.float32, order="C")
    if not all(np.isfinite(plane).all() for channel in image for plane in channel):
        raise HinterlandError("the image has NaN or infinite voxels. Replace them, e.g. by zero.")
    normalise(image, plan.normalisation, plan.channels)
    return image, geometry


def geometry_of(array: np.ndarray, spacing: Sequence[float], plan: Plan) -> Geometry:
    """Return the geometry that preprocessing an image will have.

    A plan in voxels takes every spacing for 1. Where the plan leaves the slice distance open (2D),
    each case keeps its own.

    Args:
        array: the image (C, z, y, x).
        spacing: of its voxels (z, y, x), in mm.
        plan: target spacing and order of axes.

    Returns:
        The geometry.
    """
    if plan.unit == "mm":
        check_spacing(spacing)
    measured = (1.0, 1.0, 1.0) if plan.unit == "voxel" else tuple(float(s) for s in spacing)
    z, y, x = (measured[axis] for axis in plan.transpose)
    first, second, third = plan.spacing
    start, stop = nonzero_box(array.transpose(0, *(1 + axis for axis in plan.transpose)))
    depth, height, width = array.shape[1:]
    return Geometry(
        original_shape=(depth, height, width),
        transpose=plan.transpose,
        start=start,
        stop=stop,
        spacing=(z, y, x),
        target=(z if first is None else first, second, third),
    )


def check_spacing(spacing: Sequence[float]) -> None:
    """Refuse voxel sizes (mm) that are not positive and finite.

    Raises:
        HinterlandError: one of them is not.
    """
    if not all(math.isfinite(s) and s > 0 for s in spacing):
        raise HinterlandError(
            f"the header gives a voxel size of ({', '.join(f'{s:.4g}' for s in spacing)}) mm (z, "
            "y, x); expected positive numbers. Correct the header, or say `spacing: unknown` in "
            "labels.yaml where no file has one."
        )


def nonzero_box(array: np.ndarray) -> tuple[Shape, Shape]:
    """Return the box (z, y, x) of the voxels that are not zero in some channel of (C, z, y, x).

    The box is the first index of each axis and the last one + 1. An image of nothing but zeros is
    kept whole.
    """
    mask = nonzero_mask(array)
    z, y, x = bounding_box(mask) or tuple(slice(0, n) for n in mask.shape)
    return (z.start, y.start, x.start), (z.stop, y.stop, x.stop)


def nonzero_mask(array: np.ndarray) -> np.ndarray:
    """Return (z, y, x) bool: some channel is not zero. Holes are not filled."""
    mask = array[0] != 0
    for channel in array[1:]:
        mask |= channel != 0
    return mask


def normalise(
    image: np.ndarray, schemes: Sequence[Normalisation], channels: Sequence[str] = ()
) -> None:
    """Scale each channel of a float32 image (C, z, y, x), in place. See `Normalisation`.

    A masked z-score leaves what lies around the body at zero; zeros inside it count as body.

    Args:
        image: is changed in place.
        schemes: one a channel.
        channels: their names, for messages.
    """
    body = None
    if any(scheme.masked for scheme in schemes):
        body = ndimage.binary_fill_holes(nonzero_mask(image))
    for index, (channel, scheme) in enumerate(zip(image, schemes, strict=True)):
        name = channels[index] if channels else str(index)
        if scheme.scheme == "zscore":
            _zscore(channel, body if scheme.masked else None)
        elif scheme.scheme == "ct":
            np.clip(channel, scheme.lower, scheme.upper, out=channel)
            channel -= scheme.mean
            channel /= max(scheme.std, 1e-8)
        elif scheme.scheme == "rescale":
            _rescale(channel, scheme, name)


def _zscore(channel: np.ndarray, body: np.ndarray | None) -> None:
    values = channel if body is None else channel[body]
    if not values.size:
        return
    mean, std = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    # a constant channel becomes zero, not amplified rounding noise
    scale = std if std > 1e-8 * max(1.0, abs(mean)) else 1.0
    where: np.ndarray | bool = True if body is None else body
    np.subtract(channel, mean, out=channel, where=where, casting="same_kind")
    np.divide(channel, scale, out=channel, where=where, casting="same_kind")


def _rescale(channel: np.ndarray, scheme: Normalisation, name: str) -> None:
    low, high = float(channel.min()), float(channel.max())
    if scheme.upper > scheme.lower:
        if low < scheme.lower or high > scheme.upper:
            raise HinterlandError(
                f"channel {name!r} has values from {low:g} to {high:g}; its name promises colours "
                f"from {scheme.lower:g} to {scheme.upper:g}. Convert the files to 8 bit or rename "
                "the channel in dataset.json."
            )
        low, high = scheme.lower, scheme.upper
    channel -= low
    channel /= max(high - low, 1e-8)


LOCATIONS = 10_000
"""Voxels remembered per label integer of a case."""


def label_locations(label: np.ndarray, name: str = "") -> dict[int, np.ndarray]:
    """Draw up to `LOCATIONS` voxels of each value of a label map, without replacement.

    The draw depends on the case's name and the value only.

    Args:
        label: (z, y, x) integers.
        name: the case.

    Returns:
        Value -> voxel indices (n, 3) int16.
    """
    values, counts = np.unique(label, return_counts=True)
    found = {}
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        rng = np.random.default_rng((zlib.crc32(name.encode()), value % 2**32))
        flat = _draw(label.reshape(-1), value, count, rng)
        found[value] = np.stack(np.unravel_index(flat, label.shape), axis=1).astype(np.int16)
    return found


def _draw(flat: np.ndarray, value: int, count: int, rng: np.random.Generator) -> np.ndarray:
    if count < 20 * LOCATIONS or count < 0.05 * flat.size:
        hits = np.flatnonzero(flat == value)
        return np.sort(rng.choice(hits, min(count, LOCATIONS), replace=False))
    # a list of all voxels of a common value would take eight times the label's memory
    tries = rng.integers(flat.size, size=int(2 * LOCATIONS * flat.size / count))
    hits = np.unique(tries[flat[tries] == value])
    return np.sort(rng.choice(hits, min(len(hits), LOCATIONS), replace=False))
