"""Level sets: an object as the signed distance to its boundary, negative inside."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hinterland.labels import Coarsening, LabelSetTable
from hinterland.losses.membership import Membership
from hinterland.losses.morphology.distances import distances
from hinterland.losses.reduce import all_sum


def signed_distance(inside: Bool[Tensor, "objects *space"]) -> Float[Tensor, "objects *space"]:
    """Return the distance in voxels to each object, over its maximum; negative inside.

    In [-1, 1], and 0 on the object's inner border. Where there is no object it is 1 everywhere, and
    -1 where there is nothing else.

    >>> import torch
    >>> signed_distance(torch.tensor([[False, True, True, True, False]])).int().tolist()
    [[1, 0, -1, 0, 1]]
    """
    outer, inner = distances(~inside), distances(inside)
    distance = outer / _highest(outer) - inner / _highest(inner)
    distance = torch.where(inner == 1, 0.0, distance)  # a face neighbour is outside
    axes = tuple(range(1, inside.ndim))
    one_sided = inside.all(dim=axes, keepdim=True) | ~inside.any(dim=axes, keepdim=True)
    return torch.where(one_sided, torch.where(inside, -1.0, 1.0), distance)


def _highest(distance: Tensor) -> Tensor:
    """Return the maximum of each object, to divide by."""
    return distance.amax(dim=tuple(range(1, distance.ndim)), keepdim=True).clamp(min=1)


class LevelSets(nn.Module):
    """Annotations to the level set of each foreground cell. Lookup tables only.

    Voxels of which nothing is said (label set 0: around the image, or not annotated) count as
    outside of every object. A level set is known where all other voxels decide about the object,
    and it touches none of which nothing is said, where it might go on.
    """

    def __init__(self, cells: Coarsening, table: LabelSetTable) -> None:
        super().__init__()
        self.membership = Membership(cells, table, cells.foreground)

    def forward(
        self, annotation: Int[Tensor, "batch *space"]
    ) -> tuple[Float[Tensor, "batch objects *space"], Bool[Tensor, "batch objects *space"]]:
        """Return the level sets, and the annotated voxels of those that are known."""
        inside, decided = self.membership(annotation)
        silent = (annotation == 0)[:, None]
        known = (decided | silent) & ~(inside & _grown(silent))
        known = known.flatten(2).all(dim=2)[(...,) + (None,) * (annotation.ndim - 1)]
        found = signed_distance(inside.flatten(0, 1)).view(inside.shape)
        return found, known & ~silent


def _grown(mask: Bool[Tensor, "batch 1 *space"]) -> Bool[Tensor, "batch 1 *space"]:
    """Return the mask together with all voxels next to it."""
    pool = F.max_pool2d if mask.ndim == 4 else F.max_pool3d
    return pool(mask.float(), 3, stride=1, padding=1) > 0


def level_set_loss(
    z: Float[Tensor, "batch objects *space"],
    target: Float[Tensor, "batch objects *space"],
    known: Bool[Tensor, "batch objects *space"],
) -> Float[Tensor, ""]:
    """Return the mean over objects of the squared error over their known voxels; 0 without any.

    Args:
        z: predicted level set functions.
        target: level set functions of the annotation.
        known: where these are known.

    Returns:
        The loss.

    >>> z, target = torch.tensor([[[0.5, 0.5]]]), torch.tensor([[[1.0, -1.0]]])
    >>> round(level_set_loss(z, target, torch.tensor([[[True, False]]])).item(), 4)
    0.25
    """
    voxels = known.flatten(2).sum(dim=2)
    error = ((z - target).square() * known).flatten(2).sum(dim=2) / voxels.clamp(min=1)
    return all_sum(error.sum()) / all_sum((voxels > 0).sum()).clamp(min=1)
