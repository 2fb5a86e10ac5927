"""The exact distribution of a pixel of the synthetic images, by counting placements."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hinterland.studies.synthetic.images import Range, SyntheticParameters
from hinterland.studies.synthetic.shapes import GROUND, PALETTE, colour_index, stamp

Floats = NDArray[np.float64]


def coverage(mark: NDArray[np.bool_], xs: Range, ys: Range, canvas: int) -> Floats:
    """Return the probability (H, W) that a stamp with uniformly drawn centre covers each pixel.

    Args:
        mark: the stamp, square with an odd edge.
        xs: range of the centre across, both ends included.
        ys: range of the centre down, both ends included.
        canvas: edge of the image in pixels.

    Returns:
        The probabilities.
    """
    radius = len(mark) // 2
    offsets = np.arange(-radius, radius + 1)
    down, across = (
        (low <= (at := np.arange(canvas)[:, None] - offsets)) & (at <= high)
        for low, high in (ys, xs)
    )
    places = (xs[1] - xs[0] + 1) * (ys[1] - ys[0] + 1)
    return (down.astype(float) @ mark @ across.T.astype(float)) / places


def pixel_joint(parameters: SyntheticParameters) -> Floats:
    """Return P(y, S, X) of every pixel (H, W, 2, 2, colours); the last three axes sum to 1.

    y: does the image hold the target. S: is the pixel the target's. X: its colour, an index into
    `PALETTE`. The target lies on top. Below it lie n = n_obj - y - s background objects; any of
    them covers the pixel with probability q, by colour q_c, so that the topmost has the colour c
    with probability (1 - (1 - q)^n) q_c / q. Then comes the spurious object, then the ground.
    """
    p = parameters
    spurious = coverage(
        stamp(p.spurious_shape, p.spurious_radius), *_ranges(p, "spurious"), p.canvas
    )
    target = np.zeros((p.canvas, p.canvas))
    for radius, share in p.target_radii:
        target += share * coverage(stamp(p.target_shape, radius), *_ranges(p, "target"), p.canvas)
    by_colour = np.zeros((p.canvas, p.canvas, len(PALETTE)))
    shapes = {
        shape: coverage(stamp(shape, p.background_radius), *_ranges(p, "background"), p.canvas)
        for shape in {s for _, s in p.kinds}
    }
    for colour, shape in p.kinds:
        by_colour[..., colour_index(colour)] += shapes[shape] / len(p.kinds)
    covered = by_colour.sum(axis=-1, keepdims=True)
    topmost = by_colour / np.where(covered > 0, covered, 1)
    joint = np.zeros((p.canvas, p.canvas, 2, 2, len(PALETTE)))
    for y in (0, 1):
        for s in (0, 1):
            weight = (p.positive if y else 1 - p.positive) * (p.match if s == y else 1 - p.match)
            bare = (1 - covered) ** (p.objects - y - s)
            seen = (1 - bare) * topmost
            mark = spurious * s
            seen[..., colour_index(p.spurious_colour)] += bare[..., 0] * mark
            seen[..., GROUND] += bare[..., 0] * (1 - mark)
            inside = target * y
            joint[:, :, y, 0] += weight * (1 - inside)[..., None] * seen
            joint[:, :, y, 1, colour_index(p.target_colour)] += weight * inside
    return joint


def _ranges(p: SyntheticParameters, what: str) -> tuple[Range, Range]:
    return p.range_of(f"{what}_x"), p.range_of(f"{what}_y")
