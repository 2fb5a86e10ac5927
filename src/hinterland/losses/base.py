"""What every loss of voxels has in common: deep supervision, and an estimate of the classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import interpolate


class VoxelLoss(nn.Module, ABC):
    """Loss and reading of one decoder's logits. Lookup tables only, no parameters."""

    def forward(
        self, levels: Sequence[Tensor], annotation: Int[Tensor, "batch *space"]
    ) -> Float[Tensor, ""]:
        """Sum the loss over deep supervision levels, with halving weights.

        Args:
            levels: logits (batch, cells, *space), highest resolution first.
            annotation: numbers of label sets at full resolution; 0 where nothing is said.
        """
        total = levels[0].new_zeros(()).float()
        for weight, level, small in supervised_levels(levels, annotation):
            total = total + weight * self.at_resolution(level, small)
        return total

    @abstractmethod
    def at_resolution(
        self, logits: Float[Tensor, "batch cells *space"], annotation: Int[Tensor, "batch *space"]
    ) -> Float[Tensor, ""]:
        """Return the loss at one resolution."""

    @abstractmethod
    def estimate(
        self, logits: Float[Tensor, "batch cells *space"]
    ) -> Float[Tensor, "batch cells *space"]:
        """Return the probability of each cell, as this loss reads the logits.

        The probabilities of one voxel need not sum to one.
        """


def supervised_levels(
    levels: Sequence[Tensor], annotation: Int[Tensor, "batch *space"]
) -> Iterator[tuple[float, Tensor, Tensor]]:
    """Yield weight, logits and annotation of each deep supervision level that weighs something."""
    for weight, level in zip(deep_supervision_weights(len(levels)), levels, strict=True):
        if weight:
            yield weight, level, downsample_annotation(annotation, tuple(level.shape[2:]))


def deep_supervision_weights(levels: int) -> list[float]:
    """Return nnU-Net's weights: halved at each lower resolution, the lowest left out, sum 1.

    >>> [round(1000 * w) for w in deep_supervision_weights(4)]
    [571, 286, 143, 0]
    """
    weights = [0.5**i for i in range(levels)]
    if levels > 1:
        weights[-1] = 0.0
    return [w / sum(weights) for w in weights]


def downsample_annotation(
    annotation: Int[Tensor, "batch *space"], shape: tuple[int, ...]
) -> Tensor:
    """Return the annotation at a lower resolution, by nearest neighbour: it holds names."""
    if tuple(annotation.shape[1:]) == tuple(shape):
        return annotation
    small = interpolate(annotation[:, None].float(), size=shape, mode="nearest-exact")
    return small[:, 0].long()
