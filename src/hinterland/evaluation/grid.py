"""Label files on one grid: turned where that is exact, refused where it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hinterland.data.io.formats import is_flat
from hinterland.data.io.grid import Grid, differences, on_grid
from hinterland.data.io.volume import read_header, read_label
from hinterland.types import HinterlandError


def read_label_on(
    path: Path, like: Path, name: str, what: str, to: str, *, trust: bool = False
) -> np.ndarray:
    """Read a label file on the grid of another file.

    Axes that are permuted or run backwards, with an affine that says so, are turned: that moves no
    voxel. Pictures without an affine are compared by shape alone.

    Args:
        path: the label file.
        like: the file whose grid counts.
        name: the case, for messages.
        what: the word for the label file in messages.
        to: the word for the other file in messages.
        trust: take the grid of `like` where the headers differ and the shapes do not.

    Returns:
        Integers (z, y, x).

    Raises:
        HinterlandError: the file cannot be read, or lies on another grid.
    """
    volume, grid = read_label(path), read_header(like).grid
    known = not (trust or is_flat(path) or is_flat(like))
    found = on_grid(volume.array, volume.affine if known else grid.affine, grid)
    if found is None:
        raise HinterlandError(f"{name}: {what} has {_difference(volume.grid, grid, to)}")
    return found[0]


def _difference(found: Grid, expected: Grid, to: str) -> str:
    """Say what separates two grids, the most telling property first, and what to do."""
    wrong = next(d for d in differences(expected, found) if d.matters)
    if wrong.name == "shape":
        return (
            f"the shape {found.shape} (z, y, x), {to} {expected.shape}. Both must lie on one grid: "
            "export the prediction in the geometry of the original image."
        )
    apart = np.linalg.norm(found.affine[:3, 3] - expected.affine[:3, 3])
    text = {
        "spacing": f"the spacing {wrong.found} (z, y, x), {to} {wrong.expected}",
        "direction": f"another orientation, {to} is oriented otherwise",
        "origin": f"the origin {wrong.found} mm (x, y, z), {apart:.4g} mm away from that of {to}, "
        f"{wrong.expected}",
        "affine": "no usable affine",
    }[wrong.name]
    return (
        f"{text}. Export it in the geometry of the original image; if only its header is wrong, "
        "let the reference's geometry count (trust_reference)."
    )
