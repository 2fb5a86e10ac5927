"""The shape of a U-Net from patch and spacing, and what it costs: nnU-Net's published rules.

Isensee et al., Nature Methods 18 (2021), 203-211, and its version 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hinterland.types import NetworkPlan

MIN_EDGE = 4
"""No axis of a feature map is pooled below this many voxels."""
BASE_FEATURES = 32
MAX_FEATURES = {2: 512, 3: 320}


@dataclass(frozen=True)
class Topology:
    """Stages from the highest resolution down, and the patch they fit: padded to `divisor`."""

    strides: tuple[tuple[int, ...], ...]
    kernels: tuple[tuple[int, ...], ...]
    patch: tuple[int, ...]
    divisor: tuple[int, ...]

    @property
    def features(self) -> tuple[int, ...]:
        """Doubled at each stage, from 32 to at most 512 (2D) or 320 (3D)."""
        most = MAX_FEATURES[len(self.patch)]
        return tuple(min(most, BASE_FEATURES * 2**i) for i in range(len(self.strides)))

    def network(self) -> NetworkPlan:
        """Return the topology in the form that a plan states."""
        return NetworkPlan(self.features, self.strides, self.kernels)


def topology(spacing: Sequence[float], patch: Sequence[float]) -> Topology:
    """Pool each axis as long as it is among the fine ones and long enough.

    An axis takes part in a pooling while its (pooled) spacing is below twice that of the finest
    axis that can still be halved to at least 4 voxels; a last lone axis only while it has 12 or
    more. Kernels are 1 along an axis until its spacing is below twice the smallest, 3 from then on
    and at the bottleneck.
    """
    axes = range(len(patch))
    spacing, size = list(spacing), list(patch)
    strides, kernels = [(1,) * len(size)], []
    kernel = [1] * len(size)
    divisor = [1] * len(size)
    while long := [a for a in axes if size[a] >= 2 * MIN_EDGE]:
        finest = min(spacing[a] for a in long)
        pooled = [a for a in long if spacing[a] / finest < 2]
        if len(pooled) == 1 and size[pooled[0]] < 3 * MIN_EDGE:
            break
        smallest = min(spacing)
        kernel = [3 if k == 3 or spacing[a] / smallest < 2 else 1 for a, k in enumerate(kernel)]
        kernels.append(tuple(kernel))
        strides.append(tuple(2 if a in pooled else 1 for a in axes))
        for a in pooled:
            divisor[a] *= 2
            spacing[a] *= 2
            size[a] = math.ceil(size[a] / 2)
    kernels.append((3,) * len(size))
    padded = tuple(math.ceil(n / d) * d for n, d in zip(patch, divisor, strict=True))
    return Topology(tuple(strides), tuple(kernels), padded, tuple(divisor))


def stage_sizes(patch: Sequence[int], strides: Sequence[Sequence[int]]) -> list[int]:
    """Return voxels of the feature maps at each stage."""
    sizes, here = [], list(patch)
    for stride in strides:
        here = [n // s for n, s in zip(here, stride, strict=True)]
        sizes.append(math.prod(here))
    return sizes


def feature_voxels(patch: Sequence[int], network: NetworkPlan, classes: int) -> int:
    """Return numbers held in feature maps for one patch, the measure of memory in nnU-Net's rules.

    Per stage, features times voxels for each convolution of the encoder and of the decoder and for
    the transposed convolution; then the logits at full resolution.

    Args:
        patch: voxels, one number an axis.
        network: its stages.
        classes: output channels.

    Returns:
        How many numbers.
    """
    sizes = stage_sizes(patch, network.strides)
    maps = [f * n for f, n in zip(network.features, sizes, strict=True)]
    encoder = network.convolutions * sum(maps)
    decoder = (network.convolutions + 1) * sum(maps[:-1])
    return encoder + decoder + classes * sizes[0]


def parameter_count(network: NetworkPlan, channels: int, classes: int) -> int:
    """Return trainable numbers of the plain U-Net, with one segmentation head.

    Convolutions have no bias (the affine instance norm after each has one), transposed convolutions
    have one and the size of the stride.

    Args:
        network: its stages.
        channels: of the image.
        classes: output channels.

    Returns:
        How many numbers.
    """
    features, total, before = network.features, 0, channels

    def block(first: int, out: int, kernel: Sequence[int]) -> int:
        weights = math.prod(kernel) * out * (first + out * (network.convolutions - 1))
        return weights + 2 * out * network.convolutions

    for out, kernel in zip(features, network.kernels, strict=True):
        total += block(before, out, kernel)
        before = out
    for stage in range(len(features) - 1):
        out, below = features[stage], features[stage + 1]
        total += below * out * math.prod(network.strides[stage + 1]) + out
        total += block(2 * out, out, network.kernels[stage])
    return total + classes * (features[0] + 1)
