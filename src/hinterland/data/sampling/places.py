"""Where an item of a batch comes from: the case, and the box that its patch is cut from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hinterland.data.sampling.cropping import Corner, foreground_voxel, patch_corner
from hinterland.types import Case


@dataclass(frozen=True)
class Outline:
    """What choosing a place needs to know of a preprocessed case, without its voxels.

    shape (z, y, x); labelled: it has label voxels; locations: label value -> voxels (n, 3).
    """

    shape: tuple[int, ...]
    labelled: bool = False
    locations: Mapping[int, NDArray] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where an item comes from.

    Attributes:
        case: The scan.
        corner: Lower corner of the patch, along its own axes; negative where it begins outside.
        plane: The slice z that a 2D patch lies in, None for a 3D patch.
        shown: Whether the annotation is seen.
        covers: Whether the patch shows the whole image.
    """

    case: Case
    corner: Corner
    plane: int | None
    shown: bool
    covers: bool


def choose_place(
    rng: np.random.Generator,
    case: Case,
    outline: Outline,
    size: Sequence[int],
    *,
    hidden: bool,
    foreground: frozenset[int] | None,
) -> Place:
    """Choose where in a case a patch of `size` voxels lies.

    Args:
        rng: The source of randomness.
        case: The scan.
        outline: Its shape and label locations once preprocessed.
        size: Voxels of the patch; with two axes, a slice is drawn from the volume (through
            foreground where the patch is to be centred on it).
        hidden: As if the case had no label.
        foreground: Label values to centre on, if the label is seen and has one; None: anywhere.

    Returns:
        The place.
    """
    shown = case.labelled and case.label is not None and not hidden and outline.labelled
    centre: NDArray | None = None
    if foreground is not None and shown:
        centre = foreground_voxel(rng, outline.locations, foreground)
    shape, plane = outline.shape, None
    covers = all(n <= s for n, s in zip(shape[-len(size) :], size, strict=True))
    if len(size) == 2:
        covers = covers and shape[0] == 1
        plane = int(rng.integers(shape[0])) if centre is None else int(centre[0])
        shape = shape[1:]
        centre = None if centre is None else centre[1:]
    corner = patch_corner(rng, shape, size, centre)
    return Place(case, corner, plane, shown, covers)


def drawn_corner(corner: Corner, size: Sequence[int], drawn: Sequence[int]) -> Corner:
    """Return the corner of a box of `drawn` voxels with the patch of `size` in its middle.

    Args:
        corner: of the patch.
        size: voxels of the patch.
        drawn: voxels of the box.

    Returns:
        The box's corner.
    """
    return tuple(c - (d // 2 - s // 2) for c, s, d in zip(corner, size, drawn, strict=True))
