"""nnU-Net's augmentation, by the transforms of its own library, batchgeneratorsv2.

Probabilities and ranges are those of nnU-Net's default trainer. Three things differ, on purpose.
Annotations are sampled with nearest neighbours: rows of the leaf-set table are nominal, and this is
three times faster. What turns into view from outside of the volume is row 0 (any leaf), which no
loss counts, instead of background. And blurring always uses the direct convolution: the library
otherwise times it against the Fourier transform and takes the faster, which would make samples
depend on the machine's mood.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.pseudo2d import (
    Convert2DTo3DTransform,
    Convert3DTo2DTransform,
)
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from numpy.typing import NDArray
from torch import Tensor

from hinterland.data.sampling.seeding import seeded_globally
from hinterland.types import Plan

_ANISOTROPIC = 3.0  # nnU-Net: from here on a 3D patch is turned and scaled in its plane only
_LEAST_DRAWN_SCALE = 0.85  # nnU-Net enlarges the drawn patch for zooming out this far
_LEAST_BLURRED = 4  # voxels: the blur's kernel reaches 3 beyond the border, by reflection


@dataclass(frozen=True)
class NnunetAugmentation:
    """Rotation, scaling, noise, blur, brightness, contrast, low resolution, gamma, mirroring.

    Attributes:
        patch_size: Voxels of the result, one number an axis.
        draw_size: Voxels to cut for it, so that turning and shrinking find something to show.
        transform: The chain, from an image (C, *draw_size) and maps (M, *draw_size) to patches.
        masked: Channels that are set back to 0 wherever all of them were 0 before: their
            normalisation knew only the rest.
    """

    patch_size: tuple[int, ...]
    draw_size: tuple[int, ...]
    transform: BasicTransform
    masked: tuple[int, ...] = ()

    def __call__(
        self, image: NDArray[np.float32], rows: NDArray[np.integer], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Change one patch; see `Augmentation`."""
        maps = [rows]
        if self.masked:
            maps.append((image[list(self.masked)] == 0).all(axis=0).astype(rows.dtype))
        with seeded_globally(rng):
            out = self.transform(
                image=torch.from_numpy(image), segmentation=torch.from_numpy(np.stack(maps))
            )
        pixels, moved = out["image"], out["segmentation"]
        if self.masked:
            outside = moved[1] != 0
            for channel in self.masked:
                pixels[channel][outside] = 0
        return pixels.contiguous(), moved[0].long()


def nnunet_augmentation(plan: Plan) -> NnunetAugmentation:
    """Make nnU-Net's augmentation for the patches of a plan."""
    size = plan.patch_size
    flat = _turns_in_plane_only(size)
    angle = _largest_angle(size)
    return NnunetAugmentation(
        patch_size=size,
        draw_size=_draw_size(size, angle, flat),
        transform=_nnunet_transforms(size, angle, flat),
        masked=tuple(i for i, n in enumerate(plan.normalisation) if n.masked),
    )


def _turns_in_plane_only(size: Sequence[int]) -> bool:
    return len(size) == 3 and max(size) / size[0] > _ANISOTROPIC


def _largest_angle(size: Sequence[int]) -> float:
    """Return the largest rotation in radians.

    It is 180 degrees in a plane, 15 if the plane is elongated, and 30 in space.
    """
    if len(size) == 2:
        return np.deg2rad(15.0 if max(size) / min(size) > 1.5 else 180.0)
    return np.deg2rad(180.0 if _turns_in_plane_only(size) else 30.0)


def _draw_size(size: Sequence[int], angle: float, flat: bool) -> tuple[int, ...]:
    """Return the size to cut out, so that the patch can be turned about any one axis and shrunk.

    A rectangle (a, b) turned by t reaches a cos t + b sin t along its first axis, which is largest
    at t = atan(b / a).

    Args:
        size: voxels of the patch along each axis.
        angle: the largest rotation in radians.
        flat: whether the first axis takes no part in the rotation.

    Returns:
        Voxels to cut along each axis.
    """
    drawn = np.array(size, dtype=float)
    axes = range(1 if flat else 0, len(size))
    for i in axes:
        for j in axes:
            if i != j:
                t = min(angle, float(np.arctan2(size[j], size[i])))
                drawn[i] = max(drawn[i], size[i] * np.cos(t) + size[j] * np.sin(t))
        drawn[i] /= _LEAST_DRAWN_SCALE
    return tuple(int(d) for d in drawn)


def _nnunet_transforms(size: tuple[int, ...], angle: float, flat: bool) -> BasicTransform:
    """Return nnU-Net's default chain of transforms.

    Probabilities are per sample, except where they are per channel.
    """
    spatial = SpatialTransform(
        size[1:] if flat else size,
        patch_center_dist_from_border=0,
        random_crop=False,
        p_rotation=0.2,
        rotation=(-angle, angle),
        p_scaling=0.2,
        scaling=(0.7, 1.4),
        p_synchronize_scaling_across_axes=1,
        mode_seg="nearest",
        border_mode_seg="zeros",
    )
    each: dict[str, Any] = {"synchronize_channels": False, "p_per_channel": 1}
    chain: list[BasicTransform] = (
        [Convert3DTo2DTransform(), spatial, Convert2DTo3DTransform()] if flat else [spatial]
    )

    def sometimes(p: float, transform: BasicTransform) -> None:
        chain.append(RandomTransform(transform, apply_probability=p))

    def gamma(inverted: bool) -> BasicTransform:
        return GammaTransform(
            BGContrast((0.7, 1.5)), p_invert_image=int(inverted), p_retain_stats=1, **each
        )

    sometimes(0.1, GaussianNoiseTransform((0, 0.1), p_per_channel=1, synchronize_channels=True))
    if min(size) >= _LEAST_BLURRED:
        sometimes(0.2, GaussianBlurTransform((0.5, 1.0), p_per_channel=0.5, benchmark=False))
    sometimes(0.15, MultiplicativeBrightnessTransform(BGContrast((0.75, 1.25)), **each))
    sometimes(0.15, ContrastTransform(BGContrast((0.75, 1.25)), preserve_range=True, **each))
    sometimes(
        0.25,
        SimulateLowResolutionTransform(
            scale=(0.5, 1),
            synchronize_channels=False,
            synchronize_axes=True,
            ignore_axes=(0,) if flat else None,
            p_per_channel=0.5,
        ),
    )
    sometimes(0.1, gamma(inverted=True))
    sometimes(0.3, gamma(inverted=False))
    chain.append(MirrorTransform(tuple(range(len(size)))))
    return ComposeTransforms(chain)
