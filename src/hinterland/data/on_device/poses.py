"""Patches as they are, or mirrored and turned by quarters: no voxel is changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hinterland.data.on_device.recipe import Numbers, Recipe


@dataclass(frozen=True)
class Poses:
    """Patches as they are, or mirrored along each axis and turned by quarters in the plane.

    Attributes:
        patch_size: Voxels of the patches.
        moved: Whether they are mirrored and turned.
    """

    patch_size: tuple[int, ...]
    moved: bool
    masked: tuple[int, ...] = ()

    @property
    def draw_size(self) -> tuple[int, ...]:
        """As large as the patch."""
        return self.patch_size

    def count(self, channels: int) -> int:
        """Return how many random numbers an item needs: one an axis, one for exchanging two."""
        del channels
        return len(self.patch_size) + 1

    def recipe(self, numbers: NDArray[np.float64], seeds: list[int], channels: int) -> Recipe:
        """Decide how each item lies; see `BatchAugmentation`.

        Quarter turns after mirroring at random reach every pose alike, as exchanging the two axes
        at random does.
        """
        del seeds, channels
        dims, take = len(self.patch_size), Numbers(numbers)
        axes = np.tile(np.arange(dims), (len(numbers), 1))
        reverse = take.chance(0.5 * self.moved, dims)
        exchange = take.chance(0.5 * self.moved)[:, 0]
        if self.patch_size[-1] == self.patch_size[-2]:
            axes[exchange, -2:] = axes[exchange, -2:][:, ::-1]
        return Recipe(axes, reverse, np.zeros(0, np.int64), np.zeros((0, dims, dims)))
