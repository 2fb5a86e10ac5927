"""nnU-Net's augmentation, by the transforms of its own library, batchgeneratorsv2.

Probabilities and ranges are those of `nnunet_settings`. Three things differ, on purpose.
Annotations are sampled with nearest neighbours: rows of the leaf-set table are nominal, and this is
three times faster. What turns into view from outside of the volume is row 0 (any leaf), which no
loss counts, instead of background. And blurring always uses the direct convolution: the library
otherwise times it against the Fourier transform and takes the faster, which would make samples
depend on the machine's mood.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
from hinterland.data.sampling.seeding import seeded_globally
from hinterland.types import Plan

if TYPE_CHECKING:
    from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform


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
        return pixels.contiguous(), moved[0].to(torch.int16)


def nnunet_augmentation(plan: Plan) -> NnunetAugmentation:
    """Make nnU-Net's augmentation for the patches of a plan."""
    size = plan.patch_size
    return NnunetAugmentation(
        patch_size=size,
        draw_size=draw_size(size),
        transform=_nnunet_transforms(size),
        masked=tuple(i for i, n in enumerate(plan.normalisation) if n.masked),
    )


def _nnunet_transforms(size: tuple[int, ...]) -> BasicTransform:
    """Return nnU-Net's default chain of transforms.

    Probabilities are per sample, except where they are per channel. The library is loaded here: it
    brings pandas, 65 MiB, which who only predicts does not need.
    """
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

    angle, flat = largest_angle(size), turns_in_plane_only(size)
    spatial = SpatialTransform(
        size[1:] if flat else size,
        patch_center_dist_from_border=0,
        random_crop=False,
        p_rotation=ROTATION_PROBABILITY,
        rotation=(-angle, angle),
        p_scaling=SCALING.probability,
        scaling=SCALING.between,
        p_synchronize_scaling_across_axes=1,
        mode_seg="nearest",
        border_mode_seg="zeros",
    )
    each: dict[str, Any] = {"synchronize_channels": False, "p_per_channel": 1}
    chain: list[BasicTransform] = (
        [Convert3DTo2DTransform(), spatial, Convert2DTo3DTransform()] if flat else [spatial]
    )

    def sometimes(change: Change, transform: BasicTransform) -> None:
        chain.append(RandomTransform(transform, apply_probability=change.probability))

    def gamma(change: Change, *, inverted: bool) -> None:
        curve = BGContrast(change.between)
        sometimes(change, GammaTransform(curve, int(inverted), p_retain_stats=1, **each))

    sometimes(NOISE, GaussianNoiseTransform(NOISE.between, 1, synchronize_channels=True))
    if min(size) >= LEAST_BLURRED:
        sometimes(
            BLUR, GaussianBlurTransform(BLUR.between, p_per_channel=BLUR.channels, benchmark=False)
        )
    sometimes(BRIGHTNESS, MultiplicativeBrightnessTransform(BGContrast(BRIGHTNESS.between), **each))
    sometimes(
        CONTRAST, ContrastTransform(BGContrast(CONTRAST.between), preserve_range=True, **each)
    )
    sometimes(
        LOW_RESOLUTION,
        SimulateLowResolutionTransform(
            scale=LOW_RESOLUTION.between,
            synchronize_channels=False,
            synchronize_axes=True,
            ignore_axes=(0,) if flat else None,
            p_per_channel=LOW_RESOLUTION.channels,
        ),
    )
    gamma(INVERTED_GAMMA, inverted=True)
    gamma(GAMMA, inverted=False)
    chain.append(MirrorTransform(tuple(range(len(size)))))
    return ComposeTransforms(chain)
