"""Label files on one grid: turned where that is exact, refused where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hinterland.data.integrity.geometry import compare
from hinterland.data.io.formats import is_raster
from hinterland.data.io.volume import Header, Volume, read_header, read_label
from hinterland.types import HinterlandError


def read_label_on(
    path: Path, like: Path | Header, name: str, what: str, to: str, *, trust: bool = False
) -> np.ndarray:
    """Read a label file on the grid of another file.

    Axes that are permuted or run backwards, with an affine that says so, are turned: that moves no
    voxel. Pictures without an affine are compared by shape alone.

    Args:
        like: the file whose grid counts, or its header.
        name: the case, for messages; `what` and `to` name the two files there.
        trust: take the grid of `like` where the headers differ and the shapes do not.

    Returns:
        Integers (z, y, x).

    Raises:
        HinterlandError: the file cannot be read, or lies on another grid.
    """
    volume = read_label(path)
    flat = is_raster(path) or (isinstance(like, Path) and is_raster(like))
    header = read_header(like) if isinstance(like, Path) else like
    if trust or flat:
        _check_shape(volume, header, name, what, to)
        return volume.array[0]
    fits = compare(header, _header(volume), name, what, to)
    if fits is None or fits.severity != "error":
        return volume.array[0]
    turned = turn(volume, header.affine)
    if turned is not None:
        fits = compare(header, _header(turned), name, what, to)
        if fits is None or fits.severity != "error":
            return turned.array[0]
    _check_shape(volume, header, name, what, to)
    raise HinterlandError(
        f"{name}: {what} has {_difference(volume, header, to)}. "
        "Export it in the geometry of the original image; if only its header "
        "is wrong, let the reference's geometry count (trust_reference)."
    )


def turn(volume: Volume, affine: np.ndarray) -> Volume | None:
    """Permute and flip the axes of a volume so that they run along those of an affine.

    Args:
        affine: (4, 4), voxel (x, y, z) -> mm.

    Returns:
        The same voxels at the same places, in another order; None where the two sets of axes are
        not parallel.
    """
    axes = np.linalg.norm(volume.affine[:3, :3], axis=0), np.linalg.norm(affine[:3, :3], axis=0)
    if not (np.isfinite(volume.affine).all() and all((a > 0).all() for a in axes)):
        return None
    cosines = (affine[:3, :3] / axes[1]).T @ (volume.affine[:3, :3] / axes[0])
    signs = np.rint(cosines).astype(int)
    if not (np.abs(signs).sum(axis=0) == 1).all() or not (np.abs(signs).sum(axis=1) == 1).all():
        return None
    source = np.abs(signs).argmax(axis=1)  # for each axis of the result, the axis it comes from
    step = np.eye(4)  # voxel of the result -> voxel of the volume
    step[:3, :3] = signs.T
    size = np.array(volume.shape[::-1])  # x, y, z
    for axis, sign in zip(source, signs[np.arange(3), source], strict=True):
        step[axis, 3] = size[axis] - 1 if sign < 0 else 0
    array = volume.array.transpose(0, *(3 - source[::-1]))
    backwards = tuple(3 - a for a in range(3) if signs[a, source[a]] < 0)
    return Volume(np.flip(array, backwards), volume.affine @ step)


def _header(volume: Volume) -> Header:
    z, y, x = volume.shape
    return Header((1, z, y, x), volume.affine, volume.array.dtype)


def _check_shape(volume: Volume, header: Header, name: str, what: str, to: str) -> None:
    if volume.shape != tuple(header.shape[1:]):
        raise HinterlandError(
            f"{name}: {what} has the shape {volume.shape} (z, y, x), {to} "
            f"{tuple(header.shape[1:])}. Both must lie on one grid: export the prediction in "
            "the geometry of the original image."
        )


def _difference(volume: Volume, header: Header, to: str) -> str:
    """Say what separates two grids of one shape, the most telling property first."""
    problem = compare(header, _header(volume), "", "", "")
    code = problem.code if problem is not None else ""
    if code == "spacing-mismatch":
        ours = _rounded(volume.spacing)
        return f"the spacing {ours} (z, y, x), {to} {_rounded(header.spacing)}"
    if code == "direction-mismatch":
        return f"another orientation, {to} is oriented otherwise"
    here, there = volume.affine[:3, 3], header.affine[:3, 3]
    away = float(np.linalg.norm(here - there))
    return (
        f"the origin {_rounded(here)} mm (x, y, z), {away:.4g} mm away from that of {to}, "
        f"{_rounded(there)}"
    )


def _rounded(values: Sequence[float] | np.ndarray) -> str:
    return "(" + ", ".join(f"{v:.4g}" for v in values) + ")"
