"""How the items of a batch are to be changed, decided on the host before anything is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Step:
    """A change of some images; an image is one channel of one item.

    Attributes:
        change: From images (n, *patch) and parameters (n, k) to new images.
        rows: (n,) which of the B C images, item after item.
        parameters: (n, k) float32.
    """

    change: Callable[[Tensor, Tensor], Tensor]
    rows: NDArray[np.int64]
    parameters: NDArray[np.float32]


@dataclass(frozen=True)
class Recipe:
    """How the B items of a batch are to be changed.

    Attributes:
        axes: (B, d) the axis of the volume that each axis of the patch runs along.
        reverse: (B, d) whether it runs backwards.
        warped: (w,) the items that are turned or scaled.
        matrix: (w, k, k) from offsets (voxels) in the patch to offsets in what was drawn for it;
            over the last k axes.
        steps: Changes of intensity, in their order.
    """

    axes: NDArray[np.int64]
    reverse: NDArray[np.bool_]
    warped: NDArray[np.int64]
    matrix: NDArray[np.float64]
    steps: tuple[Step, ...] = ()


class BatchAugmentation(Protocol):
    """An augmentation of whole batches on a device.

    Attributes:
        patch_size: Voxels of the patches that come out.
        draw_size: Voxels that are cut out for an item that is turned or scaled.
        masked: Channels that are set back to 0 wherever all of them were 0 before.
    """

    @property
    def patch_size(self) -> tuple[int, ...]: ...

    @property
    def draw_size(self) -> tuple[int, ...]: ...

    @property
    def masked(self) -> tuple[int, ...]: ...

    def count(self, channels: int) -> int:
        """Return how many random numbers an item of so many channels needs."""
        ...

    def recipe(self, numbers: NDArray[np.float64], seeds: list[int], channels: int) -> Recipe:
        """Decide how each item is changed.

        Args:
            numbers: (B, count) uniform in [0, 1), a row for each item.
            seeds: (B,) of each item's generator for noise.
            channels: Of the images.
        """
        ...


class Numbers:
    """A table of uniform random numbers, taken column by column."""

    def __init__(self, table: NDArray[np.float64]) -> None:
        self._table, self.used = table, 0

    def take(self, count: int = 1) -> NDArray[np.float64]:
        """Return the next columns, (B, count)."""
        self.used += count
        return self._table[:, self.used - count : self.used]

    def chance(self, probability: float, count: int = 1) -> NDArray[np.bool_]:
        """Return (B, count), each true with this probability."""
        return self.take(count) < probability

    def between(self, low: float, high: float, count: int = 1) -> NDArray[np.float64]:
        """Return (B, count), uniform between two values.

        Args:
            low: the lower value.
            high: the upper value.
            count: numbers of each item.

        Returns:
            (B, count).
        """
        return low + (high - low) * self.take(count)

    def around_one(self, low: float, high: float, count: int = 1) -> NDArray[np.float64]:
        """Return (B, count), below 1 half the time, and uniform on either side.

        Args:
            low: the lower value, below 1.
            high: the upper value, above 1.
            count: numbers of each item.

        Returns:
            (B, count).
        """
        below, share = self.chance(0.5, count), self.take(count)
        return np.where(below, low + (1 - low) * share, 1 + (high - 1) * share)
