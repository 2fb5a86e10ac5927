"""Changes of intensity, of many images at once, each by its own parameters.

All take images (n, *patch) float32 and parameters (n, k) float32, and return new images.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_EPS = 1e-7  # batchgeneratorsv2's, against division by the spread of a constant image


def add_noise(images: Tensor, parameters: Tensor, seeds: Sequence[int]) -> Tensor:
    """Add Gaussian noise of the standard deviation (n, 1), each image from a seed of its own."""
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

    inverted: from the maximum down instead of from the minimum up.
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
    for axis, n in enumerate(images.shape[1:]):
        images = _along(images, _gaussian(parameters[:, axis], n), axis + 1)
    return images


def lower_resolution(images: Tensor, parameters: Tensor) -> Tensor:
    """Keep (n, axes) voxels along the axes, the nearest ones, and interpolate linearly between."""
    for axis, n in enumerate(images.shape[1:]):
        images = _along(images, _down_and_up(parameters[:, axis], n), axis + 1)
    return images


def _gaussian(sigma: Tensor, n: int) -> Tensor:
    """Return (images, n, n): what blurs a line of n voxels when multiplied with it."""
    at = torch.arange(n, device=sigma.device)
    sigma = sigma[:, None, None]
    reach = (3 * sigma + 0.25).floor()

    def weight(distance: Tensor) -> Tensor:
        return torch.exp(-0.5 * (distance / sigma) ** 2) * (distance.abs() <= reach)

    here, there = at[:, None], at[None, :]
    before = weight(here + there) * (there > 0)  # mirrored at the first voxel, and at the last
    after = weight(2 * (n - 1) - here - there) * (there < n - 1)
    matrix = weight(here - there) + before + after
    return matrix / matrix.sum(2, keepdim=True)


def _down_and_up(kept: Tensor, n: int) -> Tensor:
    """Return (images, n, n): what keeps some of n voxels and interpolates between them."""
    at = torch.arange(n, device=kept.device)
    kept = kept[:, None]
    place = ((at + 0.5) * kept / n - 0.5).clamp(min=0)
    first = place.floor().minimum(kept - 1)
    share = (place - first)[..., None]

    def voxel(index: Tensor) -> Tensor:
        nearest = ((index + 0.5) * n / kept).floor().clamp(max=n - 1)
        return (nearest[..., None] == at).to(share)

    return torch.lerp(voxel(first), voxel((first + 1).minimum(kept - 1)), share)


def _along(images: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """Multiply every line of image i along an axis by matrix i, (images, n, n)."""
    lines = images.movedim(axis, -1)
    changed = lines.reshape(len(images), -1, lines.shape[-1]) @ matrix.mT
    return changed.view(lines.shape).movedim(-1, axis)


def _like(parameters: Tensor, images: Tensor) -> Tensor:
    return parameters.view(-1, *(1,) * (images.ndim - 1))
