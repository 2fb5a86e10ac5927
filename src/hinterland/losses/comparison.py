"""What a network says at one coarsening, next to what the annotation says: input of a loss term."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Bool, Float, Int
from torch import Tensor

from hinterland.losses.marginal import (
    GroupSums,
    group_sums,
    marginal_cross_entropy,
    marginal_focal_loss,
    marginalise,
)


@dataclass(frozen=True)
class Comparison:
    """Prediction and annotation at one coarsening and one resolution.

    Attributes:
        log_p: log-probability of each cell of the network (batch, cells, *space), float32.
        groups: the cells of each foreground group of the coarsening.
        member: 1 where a voxel is inside a foreground group (batch, groups, *space).
        decided: 1 where that is known (batch, groups, *space).
        sets: the cells that each possible annotation leaves open ("patterns").
        target: the pattern of each voxel (batch, *space); `IGNORE` where every group is possible.
        batch: whether Dice-like terms sum over the items of the batch before they divide.
    """

    log_p: Float[Tensor, "batch cells *space"]
    groups: Sequence[Sequence[int]]
    member: Bool[Tensor, "batch groups *space"]
    decided: Bool[Tensor, "batch groups *space"]
    sets: Sequence[Sequence[int]]
    target: Int[Tensor, "batch *space"]
    batch: bool = True

    @cached_property
    def q(self) -> Float[Tensor, "batch groups *space"]:
        """Probability of each foreground group."""
        return marginalise(self.log_p, self.groups).exp()

    @cached_property
    def log_mass(self) -> Float[Tensor, "batch patterns *space"]:
        """Log-probability of each pattern, log sum_{c in S} p_c."""
        return marginalise(self.log_p, self.sets)

    def cross_entropy(self) -> Float[Tensor, ""]:
        """Return the mean of -log of the probability that the annotation leaves open."""
        return marginal_cross_entropy(self.log_mass, self.target)

    def focal(self) -> Float[Tensor, ""]:
        """Return the cross entropy with the weight (1 - p)^2 of a voxel."""
        return marginal_focal_loss(self.log_mass, self.target)

    def sums(self) -> GroupSums:
        """Return the sums over voxels that Dice and its like are made of."""
        member, decided = (t.to(self.q.dtype) for t in (self.member, self.decided))
        return group_sums(self.q, member, decided, batch=self.batch)
