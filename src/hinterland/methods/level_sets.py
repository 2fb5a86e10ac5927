"""Level sets: an object as the signed distance to its boundary, negative inside."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from torch import Tensor, nn

from hinterland.labels import Coarsening, LeafSetTable
from hinterland.methods.branches import Complement


def signed_distance(inside: Bool[np.ndarray, "*space"]) -> Float[np.ndarray, "*space"]:
    """Distance in voxels to the object, over its maximum; negative inside; 0 on its inner border.

    In [-1, 1]. Where there is no object it is 1 everywhere, and -1 where there is nothing else.
    It is needed at every step: the outer distance is Maurer's (linear time, five times faster than
    scipy's), and the inner one looks no further than a voxel around the object.
    """
    if inside.all() or not inside.any():
        return np.where(inside, -1.0, 1.0)
    outer = np.maximum(_maurer(inside), 0)
    near = tuple(slice(max(i.min() - 1, 0), i.max() + 2) for i in np.nonzero(inside))
    inner = np.zeros(inside.shape)
    inner[near] = ndimage.distance_transform_edt(inside[near])
    border = inner == 1  # a face neighbour is outside
    return np.where(border, 0.0, outer / outer.max() - inner / inner.max())


def _maurer(inside: Bool[np.ndarray, "*space"]) -> Float[np.ndarray, "*space"]:
    """Distance in voxels to the object, not positive inside."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(inside.astype(np.uint8))
    found = sitk.SignedMaurerDistanceMap(image, False, False, False)
    return sitk.GetArrayFromImage(found)


class LevelSets(nn.Module):
    """Annotation rows to the level set of each foreground cell. Lookup tables only."""

    def __init__(self, cells: Coarsening, table: LeafSetTable) -> None:
        super().__init__()
        self.cells = list(cells.foreground)
        self.labels = Complement(cells, table)

    def forward(
        self, rows: Int[Tensor, "batch *space"]
    ) -> tuple[Float[Tensor, "batch objects *space"], Bool[Tensor, "batch objects"]]:
        """The level sets, and which are known: a distance needs the whole of the patch."""
        outside, decided = (t[:, self.cells] for t in self.labels.targets(rows.long()))
        known = decided.flatten(2).all(dim=2)
        inside = (outside == 0).cpu().numpy()
        found = np.stack([[signed_distance(one) for one in item] for item in inside])
        return torch.from_numpy(found).to(outside), known


def level_set_loss(
    z: Float[Tensor, "batch objects *space"],
    target: Float[Tensor, "batch objects *space"],
    known: Bool[Tensor, "batch objects"],
) -> Float[Tensor, ""]:
    """The mean squared error over the known level sets; 0 where there is none."""
    error = (z - target).square().flatten(2).mean(dim=2)
    return (error * known).sum() / known.sum().clamp(min=1)
