"""Strong views: an image that looks different, with everything where it was."""

from __future__ import annotations

import torch
from jaxtyping import Float
from monai.networks.layers import gaussian_1d, separable_filtering
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
    Drawn from torch's global CPU generator, which the engine seeds before each step.
    """
    n, axes = len(image), tuple(range(2, image.ndim))
    gamma, scale, shift, width = (_draw(n, image, *r) for r in (GAMMA, SCALE, SHIFT, BLUR))
    blurred = torch.rand(n) < 0.5
    low, high = image.amin(axes, keepdim=True), image.amax(axes, keepdim=True)
    extent = (high - low).clamp(min=1e-6)
    view = ((image - low) / extent) ** gamma * extent + low
    view = view * scale + shift
    for item in blurred.nonzero().flatten().tolist():
        kernel = gaussian_1d(width[item].flatten(), truncated=3.0)
        view[item] = separable_filtering(view[item, None], [kernel] * len(axes), "replicate")[0]
    return view + noise * torch.randn(image.shape, dtype=image.dtype).to(image.device)


def _draw(n: int, like: Tensor, low: float, high: float) -> Tensor:
    """Draw one uniform number an item, to be broadcast over it."""
    return (low + (high - low) * torch.rand(n)).to(like).view(n, *(1,) * (like.ndim - 1))
