"""Bring a source's masks onto the grid of the image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hinterland.data.integrity.geometry import check_affine, compare
from hinterland.data.io import grid
from hinterland.data.io.formats import is_flat
from hinterland.data.io.volume import Header, read_header
from hinterland.supports.sources.source import UNKNOWN, Support
from hinterland.types import Case, HinterlandError


def on_grid(support: Support, case: Case, resample: bool = False) -> Support:
    """Return the support on the grid of the case's image.

    Args:
        support: what the source sees.
        case: whose image counts.
        resample: with nearest neighbour, where the grids differ; what lies outside of the source's
            field of view is `UNKNOWN`.

    Returns:
        The support.

    Raises:
        HinterlandError: the grids differ and may not be resampled.
    """
    image = read_header(case.images[0])
    z, y, x = support.index.shape
    flat = is_flat(case.images[0]) or z == image.shape[1] == 1  # knows no position
    if flat and (z, y, x) == image.shape[1:]:
        support = replace(support, affine=image.affine)
    found = Header((1, z, y, x), support.affine, support.index.dtype)
    problem = check_affine(found, case.name, "the support mask")
    if problem is None:
        turned = grid.on_grid(support.index[None], support.affine, image.grid)
        if turned is not None:  # the same voxels, perhaps in another order
            index = np.ascontiguousarray(turned[0])
            return replace(support, index=index, affine=image.affine)
        to = f"the image {case.images[0].name}"
        problem = compare(image, found, case.name, "the support mask", to)
    assert problem is not None  # compare looks at the same differences
    if resample and problem.code != "bad-geometry":
        return replace(support, index=_nearest(support, image), affine=image.affine)
    hint = "" if problem.code == "bad-geometry" else " Or give --resample (nearest neighbour)."
    raise HinterlandError(f"case {case.name}: {problem.message}{hint}")


def _nearest(support: Support, image: Header) -> np.ndarray:
    from scipy import ndimage

    step = np.linalg.inv(support.affine) @ image.affine  # image voxel (x, y, z) -> mask voxel
    index: np.ndarray = ndimage.affine_transform(
        support.index,
        step[:3, :3][::-1, ::-1],  # (z, y, x) order
        offset=step[:3, 3][::-1],
        output_shape=image.shape[1:],
        order=0,
        mode="grid-constant",
        cval=UNKNOWN,
    )
    if not (index != UNKNOWN).any():
        raise HinterlandError(
            "the support mask and the image do not overlap anywhere in space. Do they belong "
            "together? Look at their headers."
        )
    return index
