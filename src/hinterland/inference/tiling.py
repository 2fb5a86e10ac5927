"""Where the tiles of an image lie, and which voxels each of them is nearest to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from hinterland.inference.forward import Place
from hinterland.inference.slabs import slab_axis


def tile_starts(size: int, tile: int, overlap: float = 0.5) -> list[int]:
    """Spread the first voxels of tiles evenly along an axis, at most tile (1 - overlap) apart.

    Args:
        size: voxels of the axis.
        tile: voxels of a tile.
        overlap: the least share of a tile that lies in the next.

    Returns:
        The first voxel of each tile, from 0.
    """
    if size <= tile:
        return [0]
    steps = int(np.ceil((size - tile) / max(tile * (1 - overlap), 1))) + 1
    return [round((size - tile) * i / (steps - 1)) for i in range(steps)]


@dataclass(frozen=True)
class Tiling:
    """The tiles of one image, which is padded where a tile is larger.

    Attributes:
        image: voxels of the image, (z, y, x).
        size: voxels of a tile; a 2D tile is one slice deep.
        overlap: share of a tile that the next one covers again.
    """

    image: tuple[int, ...]
    size: tuple[int, ...]
    overlap: float = 0.5

    @classmethod
    def of(cls, image: Sequence[int], tile: Sequence[int], overlap: float) -> Tiling:
        """Lay tiles over an image; with a 2D tile over each of its slices.

        Args:
            image: voxels, (z, y, x).
            tile: voxels along each axis.
            overlap: share of a tile that the next one covers again.

        Returns:
            The tiling.
        """
        size = (1, *tile) if len(tile) == 2 else tuple(tile)
        return cls(tuple(image), size, overlap)

    @property
    def before(self) -> list[int]:
        """Voxels of padding before the image, along each axis."""
        return [max(t - n, 0) // 2 for n, t in zip(self.image, self.size, strict=True)]

    @property
    def shape(self) -> list[int]:
        """Voxels of the padded image."""
        return [max(t, n) for n, t in zip(self.image, self.size, strict=True)]

    @property
    def inside(self) -> list[slice]:
        """Where the image lies in the padded one."""
        return [slice(b, b + n) for b, n in zip(self.before, self.image, strict=True)]

    @property
    def axis(self) -> int:
        """The axis along which tiles are worked on."""
        return slab_axis(self.shape, self.size)

    @property
    def starts(self) -> list[list[int]]:
        """The first voxels of tiles along each axis of the padded image."""
        return [tile_starts(n, t, self.overlap) for n, t in zip(self.shape, self.size, strict=True)]

    @property
    def places(self) -> list[Place]:
        """The first voxel of each tile in the padded image, in the order of work."""
        z, y, x = self.starts
        axis = self.axis
        return sorted(product(z, y, x), key=lambda place: place[axis])

    def nearest(self, axis: int) -> tuple[np.ndarray, np.ndarray]:
        """Return, for each tile along an axis, the voxels to whose centre no other is nearer.

        Where tiles overlap by half it is the inner half of each, and the outer quarter of the
        first and of the last.

        Args:
            axis: of the image.

        Returns:
            First voxels, and those behind the last, of the image.
        """
        centres = np.array(self.starts[axis]) + (self.size[axis] - 1) / 2
        between = (centres[:-1] + centres[1:]) / 2
        low = np.concatenate([[0], np.ceil(between)])
        high = np.concatenate([np.floor(between) + 1, [self.shape[axis]]])
        first = self.before[axis]
        return (
            np.clip(low - first, 0, self.image[axis]).astype(int),
            np.clip(high - first, 0, self.image[axis]).astype(int),
        )
