"""Predict an image in full only where a sparse pass finds something.

The sparse pass asks the coarse form of each question, "background or not": its tiles lie side by
side, at the spacing that the network was trained at, and none is mirrored. Where tiles overlap by
half and are mirrored along every axis it costs a 64th of a full 3D prediction, and a 16th in 2D.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, log1p

import numpy as np

from hinterland.inference.forward import Place
from hinterland.inference.slabs import Slab
from hinterland.inference.tiling import Tiling
from hinterland.labels import Coarsening

BLOCKS = 16
"""Along each axis, what is found is noted for so many blocks of a tile's voxels: a block of which
one voxel is found is found."""


@dataclass(frozen=True)
class Search:
    """How the region is found that is predicted in full.

    Attributes:
        margin: around what was found, in the unit of the plan's spacing (mm, or voxels); along an
            axis without a spacing, one voxel.
        threshold: probability of all but the background, from which a voxel is found.
        overlap: share of a sparse tile that the next one covers again.
    """

    margin: float = 10.0
    threshold: float = 0.1
    overlap: float = 0.0

    def sparse(self, tiling: Tiling) -> Tiling | None:
        """Return the tiles of the sparse pass; None where it could leave nothing out.

        Args:
            tiling: of the full prediction.

        Returns:
            The tiling.
        """
        sparse = Tiling(tiling.image, tiling.size, self.overlap)
        return sparse if len(sparse.places) > 1 else None

    def places(
        self,
        slabs: Iterable[Slab],
        tiling: Tiling,
        questions: Sequence[Coarsening],
        spacing: Sequence[float | None],
    ) -> frozenset[Place]:
        """Choose the tiles of the full prediction that are worked on.

        A tile is chosen if a voxel whose nearest tile it is (`Tiling.nearest`) is found, or is
        within the margin of one that is. What is not a number counts as found, so that the full
        prediction meets it.

        Args:
            slabs: the answer of the sparse pass, log-probabilities (groups, z, y, x) of all
                questions, one after the other.
            tiling: of the full prediction.
            questions: what was asked.
            spacing: between voxels, (z, y, x); None along an axis that has none.

        Returns:
            First voxels of the tiles; empty where nothing was found.
        """
        edges = [max(1, n // BLOCKS) for n in tiling.size]
        found = np.zeros([ceil(n / b) for n, b in zip(tiling.image, edges, strict=True)], bool)
        backgrounds, first = [], 0
        for at in questions:
            backgrounds.append(first + at.background)
            first += len(at)
        for axis, start, logs in slabs:
            sure = (logs[backgrounds] > log1p(-self.threshold)).all(dim=0)
            _note(found, ~sure.cpu().numpy(), axis, start, edges)
        ranges = [
            _blocks(*tiling.nearest(axis), 1 if step is None else ceil(self.margin / step), edge)
            for axis, (step, edge) in enumerate(zip(spacing, edges, strict=True))
        ]
        chosen = _any_inside(found, ranges)
        z, y, x = tiling.starts
        return frozenset((z[i], y[j], x[k]) for i, j, k in np.argwhere(chosen))


def outside(questions: Sequence[Coarsening], least: float) -> list[float]:
    """Return the log-probabilities of what is surely background, question by question.

    Args:
        questions: what is asked.
        least: the logarithm that stands for that of zero.

    Returns:
        A number for each group of each question.
    """
    return [0.0 if g == at.background else least for at in questions for g in range(len(at))]


def _note(
    blocks: np.ndarray, found: np.ndarray, axis: int, start: int, edges: Sequence[int]
) -> None:
    """Mark the blocks of which a voxel is found in a slab, whose first voxel is `start`."""
    box: list[slice] = []
    for a, (n, edge) in enumerate(zip(found.shape, edges, strict=True)):
        at = start if a == axis else 0
        low, high = at // edge, (at + n - 1) // edge + 1
        firsts = np.maximum(np.arange(low, high) * edge - at, 0)
        found = np.logical_or.reduceat(found, firsts, axis=a)
        box.append(slice(low, high))
    blocks[tuple(box)] |= found


def _blocks(
    low: np.ndarray, high: np.ndarray, margin: int, edge: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the blocks of an axis that hold a voxel from low - margin to before high + margin."""
    return np.maximum(low - margin, 0) // edge, -(-(high + margin) // edge)


def _any_inside(found: np.ndarray, ranges: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Tell for every box of ranges (low, high) along each axis whether a block in it is found."""
    sums = np.zeros([n + 1 for n in found.shape], np.int64)
    sums[1:, 1:, 1:] = found.cumsum(0).cumsum(1).cumsum(2)
    for axis, (low, high) in enumerate(ranges):
        last = found.shape[axis]
        sums = sums.take(np.minimum(high, last), axis) - sums.take(np.minimum(low, last), axis)
    return sums > 0
