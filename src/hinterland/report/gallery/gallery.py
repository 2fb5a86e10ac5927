"""The gallery: which cases to show, and their slices as small pictures with contours."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

LONGEST = 360  # pixels of a picture's longer side: sharp on a phone, a dozen kB as JPEG
REFERENCE = "reference"


@dataclass(frozen=True)
class Choice:
    """One case and class worth looking at, with the difference that makes it so."""

    case: str
    group: str
    method: str
    difference: float
    kind: Literal["win", "loss"]


@dataclass(frozen=True)
class Frame:
    """One slice: its number, a JPEG as data URI, and per layer the contours as an SVG path."""

    number: int
    picture: str
    contours: Mapping[str, str]


@dataclass(frozen=True)
class Exhibit:
    """A chosen case ready to be shown.

    `size` is (width, height) of the pictures in pixels, `start` the index of the frame to begin
    with,
    `scores` the metric per method.
    """

    choice: Choice
    scores: Mapping[str, float]
    frames: tuple[Frame, ...]
    start: int
    size: tuple[int, int]
    slices: int


def choose(differences: pd.DataFrame, each: int = 3, most: int = 8) -> list[Choice]:
    """Choose the largest wins and losses against the baseline, every case at most once.

    Args:
        differences: columns `case`, `class`, `method`, `difference` (positive = better).
        each: wins and losses per method.
        most: choices in all.

    Returns:
        The choices, methods in turn.
    """
    methods = list(dict.fromkeys(differences["method"]))
    each = max(1, min(each, most // (2 * max(len(methods), 1))))
    chosen: list[Choice] = []
    shown: set[str] = set()
    kinds: tuple[tuple[Literal["win", "loss"], bool], ...] = (("win", False), ("loss", True))
    for method in methods:
        mine = differences[(differences["method"] == method) & differences["difference"].notna()]
        for kind, ascending in kinds:
            side = mine[mine["difference"] < 0] if ascending else mine[mine["difference"] > 0]
            side = side[~side["case"].isin(shown)].sort_values("difference", ascending=ascending)
            for row in side.drop_duplicates("case").head(each).to_dict("records"):
                shown.add(row["case"])
                chosen.append(Choice(row["case"], row["class"], method, row["difference"], kind))
    return chosen


def exhibit(
    choice: Choice,
    scores: Mapping[str, float],
    image: np.ndarray,
    masks: Mapping[str, np.ndarray],
    spacing: tuple[float, float, float],
    most: int = 15,
) -> Exhibit:
    """Make pictures of the slices around all masks.

    It starts where the masks disagree most on a slice that the reference touches.

    Args:
        choice: what is shown, and why.
        scores: method -> value of the metric.
        image: (z, y, x) or (z, y, x, 3) in display orientation (row 0 on top).
        masks: layer name -> boolean (z, y, x); `reference` first.
        spacing: (z, y, x), in any unit.
        most: slices at most, spread evenly over those that any mask touches (and one beyond).

    Returns:
        The pictures, as the page shows them.
    """
    union = np.any(np.stack(list(masks.values())), axis=0)
    numbers = _slices(union, masks[REFERENCE], most)
    rows, columns = _window(union, spacing)
    low, high = _grey_window(image)
    scale = _scale(rows, columns, spacing)
    frames = []
    for number in numbers:
        picture = image[number, rows, columns]
        frames.append(
            Frame(
                number=int(number) + 1,
                picture=_jpeg(picture, low, high, scale),
                contours={n: _path(m[number, rows, columns], scale) for n, m in masks.items()},
            )
        )
    stack = np.stack([m[numbers] for m in masks.values()]).reshape(len(masks), len(numbers), -1)
    disagreement = (stack.any(axis=0) & ~stack.all(axis=0)).sum(axis=1)
    within = masks[REFERENCE][numbers].any(axis=(1, 2))
    disagreement = np.where(within | ~within.any(), disagreement, -1)
    size = _size(rows, columns, scale)
    start = int(disagreement.argmax())
    return Exhibit(choice, scores, tuple(frames), start, size, int(image.shape[0]))


def _slices(union: np.ndarray, reference: np.ndarray, most: int) -> np.ndarray:
    """Choose slice numbers, the one with the largest reference always among them."""
    touched = np.flatnonzero(union.any(axis=(1, 2)))
    if not len(touched):
        return np.array([union.shape[0] // 2])
    first, last = max(touched[0] - 1, 0), min(touched[-1] + 1, union.shape[0] - 1)
    if last - first < most:
        return np.arange(first, last + 1)
    spread = np.linspace(first, last, most - 1).round().astype(int)
    return np.union1d(spread, reference.sum(axis=(1, 2)).argmax())


def _window(union: np.ndarray, spacing: tuple[float, float, float]) -> tuple[slice, slice]:
    """Choose the part of the plane to show: around the masks, with context, nearly square."""
    shape = union.shape[1:]
    plane = union.any(axis=0)
    if not plane.any():
        return slice(0, shape[0]), slice(0, shape[1])
    centres, lengths = [], []
    for axis in (0, 1):
        hit = np.flatnonzero(np.any(plane, axis=1 - axis))
        centres.append((hit[0] + hit[-1]) / 2)
        lengths.append((hit[-1] - hit[0] + 1) * spacing[1 + axis])
    whole = [n * s for n, s in zip(shape, spacing[1:], strict=True)]
    side = max(1.5 * max(lengths), 0.35 * max(whole))
    result = []
    for axis in (0, 1):
        n = shape[axis]
        extent = min(n, int(np.ceil(side / spacing[1 + axis])))
        begin = int(np.clip(round(centres[axis] - extent / 2), 0, n - extent))
        result.append(slice(begin, begin + extent))
    return result[0], result[1]


def _scale(rows: slice, columns: slice, spacing: tuple[float, float, float]) -> tuple[float, float]:
    """Return pixels per voxel (down, across), so that the picture has square pixels in space."""
    height = (rows.stop - rows.start) * spacing[1]
    width = (columns.stop - columns.start) * spacing[2]
    unit = LONGEST / max(height, width)
    return unit * spacing[1], unit * spacing[2]


def _size(rows: slice, columns: slice, scale: tuple[float, float]) -> tuple[int, int]:
    width = (columns.stop - columns.start) * scale[1]
    height = (rows.stop - rows.start) * scale[0]
    return max(round(width), 1), max(round(height), 1)


def _grey_window(image: np.ndarray) -> tuple[float, float]:
    if image.ndim == 4:
        return 0.0, 255.0
    sample = image[:: max(1, image.shape[0] // 32)].astype(np.float32)
    low, high = np.nanpercentile(sample, [0.5, 99.5])
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1.0)


def _jpeg(picture: np.ndarray, low: float, high: float, scale: tuple[float, float]) -> str:
    """Encode as a data URI, lossy on purpose: it is to be looked at, the contours are exact."""
    from PIL import Image

    grey = np.nan_to_num((picture.astype(np.float32) - low) / (high - low))
    pixels = Image.fromarray((grey.clip(0, 1) * 255).round().astype(np.uint8))
    width, height = picture.shape[1] * scale[1], picture.shape[0] * scale[0]
    size = (max(round(width), 1), max(round(height), 1))
    buffer = io.BytesIO()
    pixels.resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=82, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _path(mask: np.ndarray, scale: tuple[float, float]) -> str:
    """Trace the outline of a mask (y, x) as the `d` of an SVG path, in picture pixels."""
    return "".join(_outlines(mask, scale))


def _outlines(mask: np.ndarray, scale: tuple[float, float]) -> Iterator[str]:
    if not mask.any():
        return
    from contourpy import contour_generator

    padded = np.pad(mask, 1).astype(np.float32)
    for line in contour_generator(z=padded).lines(0.5):
        # padded index i is voxel i - 1, whose centre lies at (i - 0.5) voxels from the edge
        points = (np.asarray(line) - 0.5) * (scale[1], scale[0])
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points[:-1])
        yield f"M{text}Z"
