"""Whole images, masks and embeddings on one fixed canvas."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
import torch
import torch.nn.functional as F

from hinterland.types import HinterlandError

EDGE_2D, EDGE_3D = 224, 64


@dataclass(frozen=True)
class CanvasCase:
    """One case on the canvas, as `PatchDataset` reads it.

    image (C, z, y, x) float32; label (z, y, x) int16 or None. A 2D canvas has z = 1.
    """

    image: np.ndarray
    label: np.ndarray | None = None
    locations: Mapping[int, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Canvases:
    """Cases on the canvas by name, brought there when they are asked for."""

    size: tuple[int, ...]
    find: Callable[[str], tuple[np.ndarray, np.ndarray | None]]
    """Case name -> array (C, z, y, x) and its labels (z, y, x) or None, of any size."""

    def __getitem__(self, name: str) -> CanvasCase:
        image, label = self.find(name)
        return CanvasCase(
            on_canvas(image, self.size), None if label is None else labels_on(label, self.size)
        )


def canvas_size(shapes: Iterable[Sequence[int]], wanted: Sequence[int] | None) -> tuple[int, ...]:
    """Choose the canvas for preprocessed images of these shapes (z, y, x).

    Default: 224 x 224 (the paper's) where every image is one slice; else 64 cubed, with fewer
    slices where the median image has fewer.

    Raises:
        HinterlandError: `wanted` has another number of axes than two (one slice each) or three, or
            an edge below 4.
    """
    found = np.array(list(shapes))
    flat = bool((found[:, 0] == 1).all())
    if wanted is None:
        if flat:
            return (EDGE_2D, EDGE_2D)
        depth = int(np.median(found[:, 0]))
        return (min(EDGE_3D, max(4, 4 * round(depth / 4))), EDGE_3D, EDGE_3D)
    size = tuple(int(n) for n in wanted)
    if len(size) != (2 if flat else 3) or min(size) < 4:
        raise HinterlandError(
            f"canvas {list(size)}: expected {'two' if flat else 'three'} edges of 4 or more, as in "
            f"{'224,224' if flat else '32,64,64'}: the images are "
            f"{'single slices' if flat else 'volumes'}."
        )
    return size


def on_canvas(array: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Return (C, z, y, x) resized to (C, *canvas) with z = 1 on a 2D canvas; float32.

    Shrunk axes are averaged over, grown ones interpolated linearly; the image is stretched to the
    canvas, so that every canvas shows all of it.
    """
    target = _three(size)
    here = torch.from_numpy(np.array(array, dtype=np.float32))[None]
    z, y, x = (min(n, t) for n, t in zip(here.shape[2:], target, strict=True))
    shrunk = (z, y, x)
    if shrunk != tuple(here.shape[2:]):
        here = F.adaptive_avg_pool3d(here, shrunk)
    if shrunk != target:
        here = F.interpolate(here, size=target, mode="trilinear", align_corners=False)
    return here[0].numpy()


def labels_on(label: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Resample a label array (z, y, x) to the canvas by the nearest voxel, int16."""
    grid = [
        np.minimum(((np.arange(t) + 0.5) * n / t).astype(int), n - 1)
        for n, t in zip(label.shape, _three(size), strict=True)
    ]
    return np.asarray(label)[np.ix_(*grid)].astype(np.int16)


def embedding_size(
    size: Sequence[int], stride: Sequence[int], most: int = 2**14
) -> tuple[int, ...]:
    """Choose the canvas of a feature map that is `stride` times coarser than the image.

    Halved further, axis by axis from the longest, until it has at most `most` voxels.

    Args:
        size: canvas of the image.
        stride: of the feature map, one number an axis.
        most: voxels at most.

    Returns:
        The canvas.
    """
    edges = [max(1, -(-n // s)) for n, s in zip(size, stride, strict=True)]
    while prod(edges) > most:
        longest = edges.index(max(edges))
        edges[longest] = -(-edges[longest] // 2)
    return tuple(edges)


def _three(size: Sequence[int]) -> tuple[int, int, int]:
    z, y, x = (1, *size) if len(size) == 2 else size
    return int(z), int(y), int(x)
