"""Changes of intensity, of many images at once, each by its own parameters.

All take images (n, *patch) float32 and parameters (n, k) float32, and return new images.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_REACH = 3  # voxels: of the widest kernel
_EPS = 1e-7  # batchgeneratorsv2's, against division by the spread of a constant image


def add_noise(images: Tensor, parameters: Tensor, seeds: Sequence[int]) -> Tensor:
    """Add Gaussian noise of the standard deviation (n, 1), each image from a seed of its own.

    Args:
        images: (n, *space).
        parameters: standard deviations (n, 1).
        seeds: one an image.

    Returns:
        The noisy images.
    """
    noise = torch.empty_like(images)
    for row, seed in zip(noise, seeds, strict=True):
        row.normal_(generator=torch.Generator(images.device).manual_seed(seed))
    return noise.mul_(_like(parameters, images)).add_(images)


def brighten(images: Tensor, parameters: Tensor) -> Tensor:
    """Multiply by a factor (n, 1)."""
    return images * _like(parameters, images)


def change_contrast(images: Tensor, parameters: Tensor) -> Tensor:
    """Multiply the distance to the mean by a factor (n, 1), within the range that was there."""
    flat = images.flatten(1)
    low, high = flat.aminmax(dim=1, keepdim=True)
    changed = torch.lerp(flat.mean(1, keepdim=True), flat, parameters)
    return changed.clamp(low, high).view_as(images)


def change_gamma(images: Tensor, parameters: Tensor, *, inverted: bool = False) -> Tensor:
    """Raise to the power (n, 1) between minimum and maximum; keep mean and standard deviation.

    Args:
        images: (n, *space).
        parameters: powers (n, 1).
        inverted: from the maximum down instead of from the minimum up.

    Returns:
        The changed images.
    """
    flat = -images.flatten(1) if inverted else images.flatten(1)
    std, mean = torch.std_mean(flat, 1, keepdim=True)
    low, high = flat.aminmax(dim=1, keepdim=True)
    spread = (high - low).clamp(min=_EPS)
    curved = ((flat - low) / spread).pow(parameters)
    new_std, new_mean = torch.std_mean(curved, 1, keepdim=True)
    factor = std / (new_std * spread).clamp(min=_EPS) * spread
    changed = (curved - new_mean) * factor + mean
    return (-changed if inverted else changed).view_as(images)


def blur(images: Tensor, parameters: Tensor) -> Tensor:
    """Blur by a Gaussian of the standard deviation (n, axes) in voxels; borders are mirrored.

    The kernel ends after three standard deviations, rounded to whole voxels.
    """
    reach = torch.arange(-_REACH, _REACH + 1, device=images.device)
    sigma = parameters[..., None]
    inside = reach.abs() <= (3 * sigma + 0.25).floor()
    weights = torch.exp(-0.5 * (reach / sigma) ** 2) * inside
    weights = weights / weights.sum(2, keepdim=True)
    dims = images.ndim - 1
    for axis in range(dims):
        border = [_REACH * (a == axis) for a in reversed(range(dims)) for _ in range(2)]
        padded = F.pad(images[:, None], border, mode="reflect")[:, 0]
        images = torch.zeros_like(images)
        for i, weight in enumerate(weights[:, axis].unbind(1)):
            part = padded.narrow(axis + 1, i, images.shape[axis + 1])
            images.addcmul_(part, _like(weight, images))
    return images


def lower_resolution(images: Tensor, parameters: Tensor) -> Tensor:
    """Keep (n, axes) voxels along the axes, the nearest ones, and interpolate linearly between."""
    for axis, n in enumerate(images.shape[1:]):
        kept = parameters[:, axis, None]
        place = (torch.arange(0.5, n, device=images.device) * kept / n - 0.5).clamp(min=0)
        first = place.floor()  # of the kept ones, the one before each voxel
        ends = torch.stack([first, first + 1]).minimum(kept - 1)
        voxels = ((ends + 0.5) * n / kept).long().clamp(max=n - 1)
        shape = [len(images), *(n if a == axis else 1 for a in range(images.ndim - 1))]
        before, after = (images.gather(axis + 1, v.view(shape).expand_as(images)) for v in voxels)
        images = torch.lerp(before, after, (place - first).view(shape))
    return images


def _like(parameters: Tensor, images: Tensor) -> Tensor:
    return parameters.view(-1, *(1,) * (images.ndim - 1))
