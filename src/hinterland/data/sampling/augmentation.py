"""Change patches between the volume and the network, by an augmentation that is chosen by name.

An augmentation of your own is one function from a plan to an `Augmentation`, and one line:
`AUGMENTATIONS.register("name", function)`, or an entry point of the group
`hinterland.augmentations`. It is switched on by `--set data.augmentation=name`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hinterland.data.sampling.nnunet_augmentation import nnunet_augmentation
from hinterland.types import Plan
from hinterland.types.registry import Registry


class Augmentation(Protocol):
    """What stands between a cut-out of a volume and the network.

    Attributes:
        patch_size: Voxels of the patch that comes out, one number an axis.
        draw_size: Voxels of the cut-out that goes in, at least as many.
    """

    @property
    def patch_size(self) -> tuple[int, ...]: ...

    @property
    def draw_size(self) -> tuple[int, ...]: ...

    def __call__(
        self, image: NDArray[np.float32], rows: NDArray[np.integer], rng: np.random.Generator, /
    ) -> tuple[Tensor, Tensor]:
        """Change one patch.

        Args:
            image: (C, *draw_size) float32, which may be overwritten.
            rows: (*draw_size) integers, rows of the data set's table of leaf sets; row 0 is any
                leaf, which no loss counts.
            rng: The only source of what is random: the same state gives the same patch.

        Returns:
            (C, *patch_size) float32 and (*patch_size) int16.
        """
        ...


@dataclass(frozen=True)
class Unchanged:
    """The patch as it is."""

    patch_size: tuple[int, ...]

    @classmethod
    def of(cls, plan: Plan) -> Unchanged:
        """Make it for the patches of a plan."""
        return cls(plan.patch_size)

    @property
    def draw_size(self) -> tuple[int, ...]:
        """As large as the patch."""
        return self.patch_size

    def __call__(
        self, image: NDArray[np.float32], rows: NDArray[np.integer], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Turn arrays into tensors; see `Augmentation`."""
        return _tensors(image, rows)


@dataclass(frozen=True)
class FlipsAndTurns:
    """Mirroring along each axis and quarter turns in the plane (papers 2 and 3)."""

    patch_size: tuple[int, ...]

    @classmethod
    def of(cls, plan: Plan) -> FlipsAndTurns:
        """Make it for the patches of a plan."""
        return cls(plan.patch_size)

    @property
    def draw_size(self) -> tuple[int, ...]:
        """As large as the patch."""
        return self.patch_size

    def __call__(
        self, image: NDArray[np.float32], rows: NDArray[np.integer], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Change one patch; see `Augmentation`."""
        return _tensors(*_flip_and_turn(image, rows, rng))


AUGMENTATIONS: Registry[Callable[[Plan], Augmentation]] = Registry(
    "augmentation",
    "hinterland.augmentations",
    {
        "nnunet": nnunet_augmentation,
        "flips": FlipsAndTurns.of,
        "none": Unchanged.of,
    },
)
"""All augmentations by name, also those of other packages."""


def augment(plan: Plan, name: str = "nnunet") -> Augmentation:
    """Make the augmentation of this name for the patches of a plan.

    Args:
        plan: Its `patch_size` and `normalisation` count.
        name: `nnunet` (see `NnunetAugmentation`), `flips`, `none`, or one of another package.

    Raises:
        HinterlandError: There is no augmentation of this name.
    """
    return AUGMENTATIONS.get(name)(plan)


def _tensors(image: NDArray[np.float32], rows: NDArray[np.integer]) -> tuple[Tensor, Tensor]:
    return (
        torch.from_numpy(np.ascontiguousarray(image)),
        torch.from_numpy(np.ascontiguousarray(rows)).to(torch.int16),
    )


def _flip_and_turn(
    image: NDArray[np.float32], rows: NDArray[np.integer], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.integer]]:
    """Mirror and turn a patch at random.

    It is mirrored along each axis with probability 1/2, then turned by a multiple of 90 degrees in
    the
    plane of the last two axes (of 180, where the patch is not square there).
    """
    axes = tuple(a for a in range(-rows.ndim, 0) if rng.integers(2))
    square = rows.shape[-1] == rows.shape[-2]
    turns = int(rng.integers(4)) if square else 2 * int(rng.integers(2))
    image, rows = np.flip(image, axes), np.flip(rows, axes)
    return np.rot90(image, turns, (-2, -1)), np.rot90(rows, turns, (-2, -1))
