"""Strong views: an image that looks different, with everything where it was."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

GAMMA = (0.7, 1.5)
SCALE = (0.75, 1.25)
SHIFT = (-0.25, 0.25)
BLUR = (0.5, 1.0)  # standard deviation in voxels, of every second item on average
NOISE = 0.1


@torch.no_grad()
def strong(
    image: Float[Tensor, "batch channels *space"], noise: float = NOISE
) -> Float[Tensor, "batch channels *space"]:
    """Change gamma, scale and shift of the intensities, blur, and add noise; each item its own.

    For normalised images: shift and `noise` are in their units. Intensities and noise change voxel
    by voxel and a blur keeps edges in their place, so labels and predictions still belong to it.
    Drawn from torch's global generator of the image's device, which the engine seeds before each
    step.
    """
    n, axes = len(image), tuple(range(2, image.ndim))
    gamma, scale, shift, width = (_draw(n, image, *r) for r in (GAMMA, SCALE, SHIFT, BLUR))
    blurred = torch.rand(n, device=image.device).view(n, *(1,) * (image.ndim - 1)) < 0.5
    low, high = image.amin(axes, keepdim=True), image.amax(axes, keepdim=True)
    extent = (high - low).clamp(min=1e-6)
    view = ((image - low) / extent) ** gamma * extent + low
    view = view * scale + shift
    view = torch.where(blurred, _blur(view, width), view)
    return view + noise * torch.randn(image.shape, dtype=image.dtype, device=image.device)


def _blur(image: Tensor, sigma: Tensor) -> Tensor:
    """Filter each item with its own Gaussian, cut at three standard deviations.

    Axis by axis, as a sum of shifted images: so all items are filtered at once. A weight is the
    integral of the Gaussian over a voxel.
    """
    reach = int(3 * BLUR[1] + 0.5)
    offsets = range(-reach, reach + 1)
    scale = math.sqrt(0.5) / sigma
    weights = [
        torch.where(abs(k) <= (3 * sigma + 0.5).floor(), _erf_step(scale, k), 0.0) for k in offsets
    ]
    for axis in range(2, image.ndim):
        n = image.shape[axis]
        pad = [reach if a == axis else 0 for a in reversed(range(2, image.ndim)) for _ in "ab"]
        wide = F.pad(image, pad, mode="replicate")
        parts = (w * wide.narrow(axis, i, n) for i, w in enumerate(weights))
        image = sum(parts, start=torch.zeros_like(image))
    return image


def _erf_step(scale: Tensor, at: int) -> Tensor:
    return 0.5 * (torch.erf(scale * (at + 0.5)) - torch.erf(scale * (at - 0.5)))


def _draw(n: int, like: Tensor, low: float, high: float) -> Tensor:
    """Draw one uniform number an item, to be broadcast over it."""
    drawn = low + (high - low) * torch.rand(n, device=like.device)
    return drawn.to(like.dtype).view(n, *(1,) * (like.ndim - 1))
