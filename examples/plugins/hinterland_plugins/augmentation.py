"""Add an augmentation: the grey levels of every second patch are turned over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hinterland.types import Plan


@dataclass(frozen=True)
class Inverted:
    """Negate the normalised image with probability 1/2."""

    patch_size: tuple[int, ...]

    @property
    def draw_size(self) -> tuple[int, ...]:
        """Return the size of the cut-out: that of the patch."""
        return self.patch_size

    def __call__(
        self, image: NDArray[np.float32], rows: NDArray[np.integer], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Change one patch."""
        sign = -1.0 if rng.integers(2) else 1.0
        label = torch.from_numpy(np.ascontiguousarray(rows)).long()
        return torch.from_numpy(np.ascontiguousarray(image)) * sign, label


def inverted(plan: Plan) -> Inverted:
    """Make the augmentation for the patches of a plan."""
    return Inverted(plan.patch_size)
