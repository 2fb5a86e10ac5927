"""Slices as small pictures, with labels laid over them in colour."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np

COLOURS = (
    "#ff9f1c", "#27b4ff", "#2ec27e", "#c77dff", "#ff4d4d", "#ffe14d", "#00d5c4", "#ff70c8",
    "#9fd356", "#c08a5c",
)  # fmt: skip
_SHORTEST = 224  # pixels of a picture's longer side at least


def slice_picture(
    image: np.ndarray,
    labels: np.ndarray | None = None,
    colours: Mapping[int, str] | None = None,
    *,
    grey: tuple[float, float] | None = None,
    sides: tuple[float, float] = (1.0, 1.0),
    box: Sequence[tuple[int, int]] | None = None,
) -> str:
    """Draw a slice as a PNG in a data URI.

    Args:
        image: (y, x).
        labels: (y, x) integers, or None.
        colours: integer -> colour as #rrggbb; others are not drawn.
        grey: the values that are black and white; default, the image's own extremes.
        sides: height and width of a pixel, in any unit.
        box: (start, stop) along y and x of a frame to draw.

    Returns:
        The URI.
    """
    from PIL import Image, ImageDraw

    low, high = grey or grey_window(image)
    shade = np.nan_to_num((image.astype(np.float32) - low) / max(high - low, 1e-12)).clip(0, 1)
    pixels = np.repeat((shade * 255)[..., None], 3, axis=-1)
    for value, colour in (colours or {}).items() if labels is not None else ():
        here = labels == value
        pixels[here] = 0.5 * pixels[here] + 0.5 * np.array(_rgb(colour))
    height, width = image.shape[0] * sides[0], image.shape[1] * sides[1]
    scale = max(1.0, _SHORTEST / max(image.shape)) * max(image.shape) / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(pixels.round().astype(np.uint8))
    picture = picture.resize(size, Image.Resampling.NEAREST)
    if box is not None:
        (top, bottom), (left, right) = box
        y, x = size[1] / image.shape[0], size[0] / image.shape[1]
        frame = (left * x, top * y, right * x - 1, bottom * y - 1)
        ImageDraw.Draw(picture).rectangle(frame, outline="#ffe14d", width=2)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def grey_window(image: np.ndarray) -> tuple[float, float]:
    """Return the values to be black and white, extremes cut off."""
    low, high = (float(v) for v in np.nanpercentile(image.astype(np.float32), [0.5, 99.5]))
    return (low, high) if high > low else (low, low + 1.0)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
