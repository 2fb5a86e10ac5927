"""Shapes and colours of the synthetic images, rasterised once (paper 5, Table A2)."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from hinterland.types import HinterlandError

SHAPES = ("circle", "rectangle", "diamond", "octagon", "star", "square")
BLUES = ("navy", "cobalt", "blue", "royal", "azure", "steel", "sky", "ice")
PALETTE: dict[str, tuple[int, int, int]] = {
    "grey": (128, 128, 128),
    "yellow": (240, 220, 40),
    "green": (40, 150, 60),
    "pink": (250, 130, 190),
    "red": (210, 40, 40),
    "orange": (245, 150, 30),
    "purple": (140, 50, 170),
    "navy": (10, 10, 100),
    "cobalt": (0, 60, 160),
    "blue": (20, 20, 240),
    "royal": (70, 100, 230),
    "azure": (0, 140, 255),
    "steel": (80, 130, 180),
    "sky": (120, 200, 240),
    "ice": (190, 225, 250),
}
"""Colour -> red, green, blue. The first is the ground; the others are the 14 of Table A2."""

COLOURS = tuple(PALETTE)[1:]
GROUND = 0
_INNER = 0.45  # inner over outer radius of a star


def colour_index(name: str) -> int:
    """Return the position in `PALETTE`.

    Raises:
        HinterlandError: there is no such colour.
    """
    if name not in PALETTE:
        raise HinterlandError(f"colour {name!r}: expected one of {', '.join(PALETTE)}.")
    return list(PALETTE).index(name)


def palette() -> NDArray[np.uint8]:
    """Return (colours, 3): what the indices of an image look like."""
    return np.array(list(PALETTE.values()), dtype=np.uint8)


@cache
def stamp(shape: str, radius: int) -> NDArray[np.bool_]:
    """Draw a shape as a (2 radius + 1)^2 mask around its centre; read-only.

    A circle, diamond, octagon and star have their corners on the circle of this radius; a square
    has half sides of `radius`, a rectangle is half as high as it is wide. Pixels count whose
    centres lie inside or on the edge.

    Raises:
        HinterlandError: another shape, or a radius below 1.
    """
    if shape not in SHAPES or radius < 1:
        raise HinterlandError(
            f"a {shape!r} of radius {radius}: expected one of {', '.join(SHAPES)}, radius >= 1."
        )
    dy, dx = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(float)
    across, distance = np.maximum(abs(dx), abs(dy)), np.hypot(dx, dy)
    if shape == "circle":
        inside = distance <= radius
    elif shape == "square":
        inside = np.ones_like(dx, dtype=bool)
    elif shape == "rectangle":
        inside = abs(dy) <= radius / 2
    elif shape == "diamond":
        inside = abs(dx) + abs(dy) <= radius
    elif shape == "octagon":
        half = radius * np.cos(np.pi / 8)
        inside = (across <= half) & (abs(dx) + abs(dy) <= half * np.sqrt(2))
    else:
        inside = distance <= _star_edge(np.arctan2(-dy, dx), radius) + 1e-9
    inside.setflags(write=False)
    return inside


def _star_edge(angle: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    """Return the distance of the edge of a five-pointed star, one point up, in a direction.

    Between an outer corner A (direction 0, distance r) and an inner one B (direction a = pi/5,
    distance q) the edge in direction f is at r q sin a / (r sin f + q sin(a - f)).
    """
    part, inner = np.pi / 5, _INNER * radius
    folded = np.abs((angle - np.pi / 2 + part) % (2 * part) - part)
    along = radius * np.sin(folded) + inner * np.sin(part - folded)
    return radius * inner * np.sin(part) / along
