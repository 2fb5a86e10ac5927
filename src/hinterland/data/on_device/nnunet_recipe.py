"""nnU-Net's augmentation for whole batches, with the ranges of `nnunet_settings`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hinterland.data.on_device.intensity import (
    add_noise,
    blur,
    brighten,
    change_contrast,
    change_gamma,
    lower_resolution,
)
from hinterland.data.on_device.recipe import Numbers, Recipe, Step
from hinterland.data.sampling.nnunet_settings import (
    BLUR,
    BRIGHTNESS,
    CONTRAST,
    GAMMA,
    INVERTED_GAMMA,
    LEAST_BLURRED,
    LOW_RESOLUTION,
    NOISE,
    ROTATION_PROBABILITY,
    SCALING,
    Change,
    draw_size,
    largest_angle,
    turns_in_plane_only,
)
from hinterland.types import Plan

_MOST_CHANNELS_AT_ONCE = 2**16


@dataclass(frozen=True)
class NnunetBatches:
    """Rotation, scaling, noise, blur, brightness, contrast, low resolution, gamma, mirroring.

    What `NnunetAugmentation` does to patches one by one, by our own code on whole batches.

    Attributes:
        patch_size: Voxels of the patches.
        masked: Channels that are set back to 0 wherever all of them were 0 before.
    """

    patch_size: tuple[int, ...]
    masked: tuple[int, ...] = ()

    @property
    def draw_size(self) -> tuple[int, ...]:
        """As large as turning and shrinking need."""
        return draw_size(self.patch_size)

    def count(self, channels: int) -> int:
        """Return how many random numbers an item of so many channels needs."""
        numbers = Numbers(np.zeros((0, _MOST_CHANNELS_AT_ONCE)))
        self._recipe(numbers, [], channels)
        return numbers.used

    def recipe(self, numbers: NDArray[np.float64], seeds: list[int], channels: int) -> Recipe:
        """Decide how each item is changed; see `BatchAugmentation`."""
        return self._recipe(Numbers(numbers), seeds, channels)

    def _recipe(self, numbers: Numbers, seeds: list[int], channels: int) -> Recipe:
        warped, matrix = self._warp(numbers)
        steps = self._steps(numbers, seeds, channels)
        reverse = numbers.chance(0.5, len(self.patch_size))
        axes = np.broadcast_to(np.arange(len(self.patch_size)), reverse.shape)
        return Recipe(axes, reverse, warped, matrix, steps)

    def _warp(self, numbers: Numbers) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Draw which items are turned or scaled, and how."""
        largest = largest_angle(self.patch_size)
        turned = numbers.chance(ROTATION_PROBABILITY)
        scaled = numbers.chance(SCALING.probability)
        angles = np.where(turned, numbers.between(-largest, largest, 3), 0.0)
        scale = np.where(scaled, numbers.between(*SCALING.between), 1.0)
        warped = np.flatnonzero(turned | scaled)
        flat = len(self.patch_size) == 2 or turns_in_plane_only(self.patch_size)
        turn = _turn_in_plane(angles[warped, 2]) if flat else _turn_in_space(angles[warped])
        return warped, turn * scale[warped, :, None]

    def _steps(self, numbers: Numbers, seeds: list[int], channels: int) -> tuple[Step, ...]:
        size, dims, steps = self.patch_size, len(self.patch_size), list[Step]()

        def images(by: Change) -> NDArray[np.int64]:
            chosen = numbers.chance(by.probability) & numbers.chance(by.channels, channels)
            return np.flatnonzero(chosen)

        def change(
            by: Change, function: Callable[[Tensor, Tensor], Tensor], values: NDArray[np.float64]
        ) -> None:
            """Add a change whose parameters are (B, channels * k) values."""
            rows, each = images(by), values.reshape(-1, values.shape[1] // channels)
            steps.append(Step(function, rows, each[rows].astype(np.float32)))

        def factor(by: Change) -> NDArray[np.float64]:
            return numbers.around_one(*by.between, channels)

        sigma, noisy = numbers.between(*NOISE.between), images(NOISE)
        own = [seeds[row // channels] + row % channels for row in noisy.tolist()]
        strength = sigma[noisy // channels].astype(np.float32)
        steps.append(Step(partial(add_noise, seeds=own), noisy, strength))
        if min(size) >= LEAST_BLURRED:
            change(BLUR, blur, numbers.between(*BLUR.between, channels * dims))
        change(BRIGHTNESS, brighten, factor(BRIGHTNESS))
        change(CONTRAST, change_contrast, factor(CONTRAST))
        kept = np.repeat(numbers.between(*LOW_RESOLUTION.between, channels)[..., None], dims, 2)
        if turns_in_plane_only(size):
            kept[..., 0] = 1
        voxels = np.round(kept * size).reshape(len(kept), channels * dims)
        change(LOW_RESOLUTION, lower_resolution, voxels)
        change(INVERTED_GAMMA, partial(change_gamma, inverted=True), factor(INVERTED_GAMMA))
        change(GAMMA, change_gamma, factor(GAMMA))
        return tuple(step for step in steps if len(step.rows))


def nnunet_batches(plan: Plan) -> NnunetBatches:
    """Make nnU-Net's augmentation for batches of the patches of a plan."""
    masked = tuple(i for i, n in enumerate(plan.normalisation) if n.masked)
    return NnunetBatches(plan.patch_size, masked)


def _turn_in_plane(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n, 2, 2) rotations of (y, x) by (n,) angles."""
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([c, -s], 1), np.stack([s, c], 1)], 1)


def _turn_in_space(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n, 3, 3) rotations of (z, y, x): about z first, then y, then x, by (n, 3) angles."""
    result = np.broadcast_to(np.eye(3), (len(angles), 3, 3))
    for axis, (a, b) in enumerate(((1, 2), (2, 0), (0, 1))):
        turn = np.broadcast_to(np.eye(3), result.shape).copy()
        c, s = np.cos(angles[:, axis]), np.sin(angles[:, axis])
        turn[:, a, a], turn[:, a, b], turn[:, b, a], turn[:, b, b] = c, -s, s, c
        result = turn @ result
    return result
