"""Our axes and MONAI's: files read as (z, y, x) and transposed by the plan, or as (x, y, z)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hinterland.types import Plan

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class MonaiAxes:
    """How a patch lies in an image that MONAI has read.

    `roi` is the patch size in MONAI's order of axes; `permutation[i]` is the axis of a MONAI patch
    that is axis i of ours. `slices` is the axis of a volume across which a 2D network goes slice by
    slice; None for 3D networks, and for 2D image files, which have no such axis (`flat_files`).
    """

    roi: tuple[int, ...]
    permutation: tuple[int, ...]
    slices: int | None
    flat_files: bool

    @classmethod
    def of(cls, plan: Plan, flat_files: bool) -> MonaiAxes:
        """Choose the axes for a plan and the kind of its image files."""
        monai = [2 - axis for axis in plan.transpose]  # MONAI axis of each axis of the plan
        inside = monai[3 - plan.dims :]
        ranks = sorted(inside)
        permutation = tuple(ranks.index(axis) for axis in inside)
        roi = [0] * plan.dims
        for ours, theirs in enumerate(permutation):
            roi[theirs] = plan.patch_size[ours]
        across = monai[0] if plan.dims == 2 and not flat_files else None
        return cls(tuple(roi), permutation, across, flat_files)

    def pixdim(self, plan: Plan) -> list[float] | None:
        """Return the target spacing in MONAI's order; None for no change.

        It is -1 where each image keeps its own. A plan in voxels, and one for 2D image files (which
        have
        no spacing), changes nothing.
        """
        if plan.unit == "voxel" or self.flat_files:
            return None
        pixdim = [-1.0] * 3
        for axis, spacing in zip(plan.transpose, plan.spacing, strict=True):
            pixdim[2 - axis] = -1.0 if spacing is None else spacing
        return pixdim


def monai_network(network: nn.Module, axes: MonaiAxes, order: Sequence[int]) -> nn.Module:
    """Copy the network into one that takes and gives patches in MONAI's order of axes.

    The two share no weights.

    Args:
        network: takes patches in the plan's order of axes.
        axes: how the two orders differ.
        order: output channel k is the network's channel `order[k]`.

    Returns:
        The copy.
    """
    from copy import deepcopy

    import torch
    from torch import Tensor, nn

    forward = [0, 1, *(2 + axis for axis in axes.permutation)]
    backward = [forward.index(axis) for axis in range(len(forward))]

    class InMonaiAxes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = deepcopy(network).float().cpu()
            self.register_buffer("order", torch.tensor(list(order)))

        def forward(self, x: Tensor) -> Tensor:
            return self.network(x.permute(forward))[:, self.order].permute(backward)

    return InMonaiAxes().eval()
