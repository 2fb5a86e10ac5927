"""What happens to a patch between the volume and the network: nnU-Net's augmentation, or flips.

nnU-Net's transforms are those of its own library, batchgeneratorsv2, with the probabilities and
ranges of its default trainer. Three things differ, on purpose. Annotations are sampled with nearest
neighbours: rows of the leaf-set table are nominal, and this is three times faster. What turns into
view from outside of the volume is row 0 (any leaf), which no loss counts, instead of background.
And blurring always uses the direct convolution: the library otherwise times it against the Fourier
transform and takes the faster, which would make samples depend on the machine's mood.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hinterland.types import HinterlandError, Plan

if TYPE_CHECKING:
    from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform

Level = Literal["nnunet", "flips", "none"]

_ANISOTROPIC = 3.0  # nnU-Net: from here on a 3D patch is turned and scaled in its plane only
_LEAST_DRAWN_SCALE = 0.85  # nnU-Net enlarges the drawn patch for zooming out this far
_LEAST_BLURRED = 4  # voxels: the blur's kernel reaches 3 beyond the border, by reflection


@dataclass(frozen=True)
class Augmentation:
    """A callable (image, rows, rng) -> (image, annotation).

    In: image (C, *draw_size) float32, which may be overwritten, and rows (*draw_size) integers.
    Out: tensors (C, *patch_size) float32 and (*patch_size) int64. Everything random comes from
    `rng`. `transform` is None where only flips and quarter turns are asked for, or nothing (`flips`
    False). Channels in `masked` are set back to 0 wherever all of them were 0 before: their
    normalisation knew only the rest.
    """

    patch_size: tuple[int, ...]
    draw_size: tuple[int, ...]
    transform: BasicTransform | None = None
    flips: bool = False
    masked: tuple[int, ...] = ()

    def __call__(
        self, image: NDArray[np.float32], rows: NDArray[np.integer], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        if self.transform is None:
            image, rows = _flip_and_turn(image, rows, rng) if self.flips else (image, rows)
            return (
                torch.from_numpy(np.ascontiguousarray(image)),
                torch.from_numpy(np.ascontiguousarray(rows)).long(),
            )
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


def augment(plan: Plan, level: Level = "nnunet") -> Augmentation:
    """The augmentation of patches of `plan.patch_size`.

    `nnunet`: rotation, scaling, Gaussian noise, blur, brightness, contrast, simulated low
    resolution, gamma (twice), mirroring. `flips`: mirroring along each axis and quarter turns in
    the plane (papers 2 and 3). `none`: the patch as it is.
    """
    size = plan.patch_size
    if level in ("none", "flips"):
        return Augmentation(size, size, flips=level == "flips")
    if level != "nnunet":
        raise HinterlandError(f"augmentation {level!r}: expected 'nnunet', 'flips' or 'none'.")
    flat = _turns_in_plane_only(size)
    angle = _largest_angle(size)
    return Augmentation(
        patch_size=size,
        draw_size=_draw_size(size, angle, flat),
        transform=_nnunet_transforms(size, angle, flat),
        masked=tuple(i for i, n in enumerate(plan.normalisation) if n.masked),
    )


def _turns_in_plane_only(size: Sequence[int]) -> bool:
    return len(size) == 3 and max(size) / size[0] > _ANISOTROPIC


def _largest_angle(size: Sequence[int]) -> float:
    """Largest rotation in radians: 180 degrees in a plane, 15 if that is elongated; 30 in space."""
    if len(size) == 2:
        return np.deg2rad(15.0 if max(size) / min(size) > 1.5 else 180.0)
    return np.deg2rad(180.0 if _turns_in_plane_only(size) else 30.0)


def _draw_size(size: Sequence[int], angle: float, flat: bool) -> tuple[int, ...]:
    """Voxels to cut, so that the patch can be turned by `angle` about any one axis and shrunk.

    A rectangle (a, b) turned by t reaches a cos t + b sin t along its first axis, which is largest
    at t = atan(b / a).
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
    """nnU-Net's default chain. Probabilities are per sample, except where they are per channel."""
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


def _flip_and_turn(
    image: NDArray[np.float32], rows: NDArray[np.integer], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.integer]]:
    """Mirror along each axis with probability 1/2, then turn by a multiple of 90 degrees in the
    plane of the last two axes (of 180, where the patch is not square there)."""
    axes = tuple(a for a in range(-rows.ndim, 0) if rng.integers(2))
    square = rows.shape[-1] == rows.shape[-2]
    turns = int(rng.integers(4)) if square else 2 * int(rng.integers(2))
    image, rows = np.flip(image, axes), np.flip(rows, axes)
    return np.rot90(image, turns, (-2, -1)), np.rot90(rows, turns, (-2, -1))


@contextmanager
def seeded_globally(rng: np.random.Generator) -> Iterator[None]:
    """Inside, numpy's and torch's global CPU generators are seeded from `rng` and torch computes on
    one thread (sums over several threads round differently); afterwards all is as it was."""
    numpy_seed, torch_seed = (int(s) for s in rng.integers(2**32, size=2))
    numpy_state = np.random.get_state()  # noqa: NPY002
    torch_state = torch.get_rng_state()
    threads = torch.get_num_threads()
    np.random.seed(numpy_seed)  # noqa: NPY002
    torch.default_generator.manual_seed(torch_seed)  # not torch.manual_seed: that seeds GPUs too
    if threads != 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.set_rng_state(torch_state)
        if threads != 1:
            torch.set_num_threads(threads)
