"""Voxels of several boxes, one after the other in memory, so that one look-up reads from all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hinterland.types import Normalisation


@dataclass(frozen=True)
class Volumes:
    """Voxels of several boxes.

    Attributes:
        image: (C, voxels) float16 or float32.
        annotation: (voxels,) uint8 or int16, numbers of label sets.
    """

    image: Tensor
    annotation: Tensor

    def pin_memory(self) -> Volumes:
        """Copy to memory that a device can read by itself."""
        return Volumes(self.image.pin_memory(), self.annotation.pin_memory())

    def to(self, device: torch.device) -> Volumes:
        """Copy to a device, without waiting for it."""
        return Volumes(
            self.image.to(device, non_blocking=True), self.annotation.to(device, non_blocking=True)
        )


@dataclass(frozen=True)
class Box:
    """Where a box of a case lies in `Volumes`, and where in the case.

    Attributes:
        start: Its first voxel in `Volumes`.
        shape: Voxels (z, y, x).
        origin: Its lower corner (z, y, x) in the case.
    """

    start: int
    shape: tuple[int, ...]
    origin: tuple[int, ...] = (0, 0, 0)


def image_type(normalisation: Sequence[Normalisation]) -> torch.dtype:
    """Return float16, or float32 where a channel is not brought to unit scale.

    At unit scale float16 rounds by 0.05 %; intensities as they come may not even fit.
    """
    return torch.float32 if any(n.scheme == "none" for n in normalisation) else torch.float16


def annotation_type(label_sets: int) -> torch.dtype:
    """Return the smallest type that holds the numbers of so many label sets."""
    return torch.uint8 if label_sets <= 256 else torch.int16
