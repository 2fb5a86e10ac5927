"""Probabilities, ranges and sizes of nnU-Net's augmentation, for patches one by one and in batches.

They are those of nnU-Net's default trainer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_ANISOTROPIC = 3.0  # nnU-Net: from here on a 3D patch is turned and scaled in its plane only
_LEAST_DRAWN_SCALE = 0.85  # nnU-Net enlarges the drawn patch for zooming out this far
LEAST_BLURRED = 4  # voxels: the blur's kernel reaches 3 beyond the border, by reflection


@dataclass(frozen=True)
class Change:
    """How often a sample is changed, and how much.

    Attributes:
        probability: Share of samples.
        between: Least and largest value of the parameter.
        channels: Share of the channels of such a sample.
    """

    probability: float
    between: tuple[float, float]
    channels: float = 1.0


ROTATION_PROBABILITY = 0.2
SCALING = Change(0.2, (0.7, 1.4))
"""Voxels of the drawn patch for one of the result; the same along all axes."""
NOISE = Change(0.1, (0.0, 0.1))
"""Standard deviation of Gaussian noise; the same in all channels."""
BLUR = Change(0.2, (0.5, 1.0), channels=0.5)
"""Standard deviation of the kernel in voxels, for each axis and channel."""
BRIGHTNESS = Change(0.15, (0.75, 1.25))
"""Factor of a channel; below 1 and above 1 are equally likely, as for the next ones."""
CONTRAST = Change(0.15, (0.75, 1.25))
"""Factor of the distance to a channel's mean."""
LOW_RESOLUTION = Change(0.25, (0.5, 1.0), channels=0.5)
"""Share of the voxels that are kept along an axis; the same along all axes."""
INVERTED_GAMMA = Change(0.1, (0.7, 1.5))
"""Exponent of a channel between its minimum and maximum, upside down."""
GAMMA = Change(0.3, (0.7, 1.5))
"""Exponent of a channel between its minimum and maximum."""


def turns_in_plane_only(size: Sequence[int]) -> bool:
    """Tell whether a patch has so few slices that it is only turned and scaled in its plane."""
    return len(size) == 3 and max(size) / size[0] > _ANISOTROPIC


def largest_angle(size: Sequence[int]) -> float:
    """Return the largest rotation in radians.

    It is 180 degrees in a plane, 15 if the plane is elongated, and 30 in space.
    """
    if len(size) == 2:
        return np.deg2rad(15.0 if max(size) / min(size) > 1.5 else 180.0)
    return np.deg2rad(180.0 if turns_in_plane_only(size) else 30.0)


def draw_size(size: Sequence[int]) -> tuple[int, ...]:
    """Return the size to cut out, so that the patch can be turned about any one axis and shrunk.

    A rectangle (a, b) turned by t reaches a cos t + b sin t along its first axis, which is largest
    at t = atan(b / a).

    Args:
        size: voxels of the patch along each axis.

    Returns:
        Voxels to cut along each axis.
    """
    angle, drawn = largest_angle(size), np.array(size, dtype=float)
    axes = range(1 if turns_in_plane_only(size) else 0, len(size))
    for i in axes:
        for j in axes:
            if i != j:
                t = min(angle, float(np.arctan2(size[j], size[i])))
                drawn[i] = max(drawn[i], size[i] * np.cos(t) + size[j] * np.sin(t))
        drawn[i] /= _LEAST_DRAWN_SCALE
    return tuple(int(d) for d in drawn)
