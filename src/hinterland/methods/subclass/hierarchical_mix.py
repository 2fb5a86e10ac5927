"""HierarchicalMix: superclass regions of fine-labelled images pasted over coarsely labelled ones.

The target mixes the pasted labels with pseudo-labels that do not change when the image is turned,
and that never leave the annotated superclass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hinterland.labels import Coarsening, LabelSetTable
from hinterland.methods.options import OneOf

Schedule = Annotated[str, OneOf("linear", "released")]
ITERATIONS = 40_000  # the paper's training length; released schedules are stated in its steps


def threshold(fraction: float, floor: float = 0.4, schedule: Schedule = "linear") -> float:
    """Return tau at a share of training: from 1 down to `floor`.

    "linear": 1 - (1 - floor) t. "released": max(0.999^(it // 10), floor) with it = 40,000 t.

    Args:
        fraction: the share of training that is done.
        floor: the lowest tau.
        schedule: as printed in the paper, or as in its released code.

    Returns:
        tau, a probability.
    """
    if schedule == "linear":
        return 1 - (1 - floor) * fraction
    return max(0.999 ** int(ITERATIONS * fraction // 10), floor)


def ramp(fraction: float) -> float:
    """Return the weight of the mixed loss, from .5 up to 1.

    1 / (1 + exp(-it / 1000)) with it = 40,000 t.
    """
    return float(1 / (1 + np.exp(-fraction * ITERATIONS / 1000)))


@dataclass(frozen=True)
class Turn:
    """A rotation by `quarters` times 90 degrees in a plane, then a flip along one axis.

    Axes count from the end, so that images (B, C, *space) and labels (B, *space) turn alike.
    """

    quarters: int
    plane: tuple[int, int]
    flip: int

    def __call__(self, x: Tensor) -> Tensor:
        return x.rot90(self.quarters, self.plane).flip(self.flip)

    def undo(self, x: Tensor) -> Tensor:
        """Return the inverse: `undo(self(x))` is x."""
        return x.flip(self.flip).rot90(-self.quarters, self.plane)


def draw_turn(space: tuple[int, ...]) -> Turn:
    """Return a random turn that keeps the shape: quarter turns only in a plane with equal edges.

    Drawn from torch's global CPU generator, which the engine seeds before each step.
    """
    axes = range(-len(space), 0)
    planes = [(a, b) for a in axes for b in axes if a < b]
    plane = planes[int(torch.randint(len(planes), ()))]
    quarters = int(torch.randint(4, ()))
    if space[plane[0]] != space[plane[1]]:
        quarters -= quarters % 2
    flip = plane[int(torch.randint(2, ()))]
    return Turn(quarters, plane, flip)


def agreed(
    p: Float[Tensor, "batch cells *space"],
    other: Float[Tensor, "batch cells *space"],
    allowed: Bool[Tensor, "batch cells *space"],
    tau: float,
) -> Float[Tensor, "batch cells *space"]:
    """Return pseudo-labels as one-hot maps; all zero where there is none.

    A voxel is given class c if c is the most probable class of both predictions, with more than
    `tau` in both, and allowed by its annotation.

    Args:
        p: one prediction.
        other: the other prediction.
        allowed: whether the annotation leaves a cell open.
        tau: the confidence that both must exceed.

    Returns:
        The one-hot maps.
    """
    confidence, cell = p.max(dim=1, keepdim=True)
    other_confidence, other_cell = other.max(dim=1, keepdim=True)
    keep = (cell == other_cell) & (confidence > tau) & (other_confidence > tau)
    keep &= allowed.gather(1, cell)
    return torch.zeros_like(p).scatter_(1, cell, keep.to(p.dtype))


def bounding_box(mask: Bool[Tensor, "*space"]) -> list[tuple[Tensor, Tensor]]:
    """Return first and end of the smallest box around the true voxels, along each axis.

    They stay on the device. Where nothing is true, the end is not behind the first.
    """
    box = []
    for axis in range(mask.ndim):
        rest = [a for a in range(mask.ndim) if a != axis]
        seen = mask.any(dim=rest) if rest else mask
        at = torch.arange(len(seen), device=mask.device)
        first = torch.where(seen, at, len(seen)).amin()
        box.append((first, torch.where(seen, at + 1, 0).amax()))
    return box


def _resized(
    image: Float[Tensor, "channels *space"],
    labels: Int[Tensor, "*space"],
    source: list[tuple[Tensor, Tensor]],
    target: list[tuple[Tensor, Tensor]],
) -> tuple[Tensor, Tensor]:
    """Return image and labels of one box stretched over another one, in the image's full space.

    Linear, labels by nearest neighbour, as `interpolate` of the box alone would do it; what lies
    outside of the target box means nothing. The boxes are known to the device alone.
    """
    for axis, ((a, b), (c, d)) in enumerate(zip(source, target, strict=True)):
        n = labels.shape[axis]
        at = (torch.arange(n, device=image.device) - c + 0.5) * ((b - a) / (d - c).clamp(min=1))
        nearest = (at.floor().long().clamp(min=0).minimum(b - a - 1) + a).clamp(0, n - 1)
        place = (at - 0.5).clamp(min=0)
        low = place.floor().long().minimum(b - a - 1).clamp(min=0)
        high = (low + 1).minimum(b - a - 1).clamp(min=0)
        share = (place - low).clamp(0, 1).view(-1, *(1,) * (labels.ndim - 1 - axis))
        low, high = ((index + a).clamp(0, n - 1) for index in (low, high))
        one, other = (image.index_select(axis + 1, index) for index in (low, high))
        image = one * (1 - share) + other * share
        labels = labels.index_select(axis, nearest)
    return image, labels


@dataclass(frozen=True)
class Mixed:
    """x_mix (n, C, *space), and the pasted cell of each voxel (n, *space), -1 outside the paste."""

    image: Tensor
    pasted: Tensor

    def target(
        self, alpha: Float[Tensor, " batch"], pseudo: Float[Tensor, "batch cells *space"]
    ) -> Float[Tensor, "batch cells *space"]:
        """Return alpha z + (1 - alpha) z_pse where something was pasted, and z_pse elsewhere."""
        ndim = pseudo.ndim - 2
        inside = (self.pasted >= 0)[:, None]
        z = torch.zeros_like(pseudo).scatter_(
            1, self.pasted.clamp(min=0)[:, None], inside.to(pseudo.dtype)
        )
        a = alpha.view(-1, 1, *[1] * ndim)
        return torch.where(inside, a * z + (1 - a) * pseudo, pseudo)


class HierarchicalMix(nn.Module):
    """Mixtures of images, as their label sets allow. Lookup tables only, no parameters.

    An *open* label set has several cells: an inner node. Open sets that hold the remainder leaf are
    not mixed: the box around a background is the whole image.
    """

    allowed: Tensor
    cell: Tensor
    region: Tensor
    inside: Tensor

    def __init__(self, cells: Coarsening, table: LabelSetTable) -> None:
        super().__init__()
        allowed = table.allowed(cells)
        known = allowed.sum(axis=1) == 1
        remainder = cells.background
        regions = list(
            dict.fromkeys(
                tuple(row) for row in allowed if 1 < row.sum() < len(cells) and not row[remainder]
            )
        )
        region = [regions.index(tuple(r)) if tuple(r) in regions else -1 for r in allowed]
        inside = [[k and not (r & ~np.array(s)).any() for r, k in zip(allowed, known, strict=True)]
                  for s in regions]  # fmt: skip
        self.regions = len(regions)
        cell = np.where(known, allowed.argmax(axis=1), -1)
        for name, value in (("allowed", allowed), ("cell", cell), ("region", np.array(region))):
            self.register_buffer(name, torch.tensor(value), persistent=False)
        inside_array = np.array(inside, dtype=bool).reshape(len(regions), len(table))
        self.register_buffer("inside", torch.tensor(inside_array), persistent=False)

    def known(
        self, annotation: Int[Tensor, "batch *space"], like: Float[Tensor, "batch cells *space"]
    ) -> Float[Tensor, "batch cells *space"]:
        """Return one-hot maps of the voxels whose annotation is a single cell; zero elsewhere."""
        cell = self.cell[annotation.long()][:, None]
        return torch.zeros_like(like).scatter_(1, cell.clamp(min=0), (cell >= 0).to(like.dtype))

    def pseudo(
        self,
        p: Float[Tensor, "batch cells *space"],
        other: Float[Tensor, "batch cells *space"],
        annotation: Int[Tensor, "batch *space"],
        tau: float,
    ) -> Float[Tensor, "batch cells *space"]:
        """Return z_pse: `agreed` predictions on open voxels, else the annotated cell.

        Args:
            p: one prediction.
            other: the other prediction.
            annotation: indices into the table of label sets.
            tau: the confidence that both predictions must exceed.

        Returns:
            One-hot maps; all zero where nothing is known.
        """
        allowed = self.allowed[annotation.long()].movedim(-1, 1)
        known = self.known(annotation, p)
        return torch.where(
            known.sum(dim=1, keepdim=True) > 0, known, agreed(p, other, allowed, tau)
        )

    def mix(
        self,
        image: Float[Tensor, "batch channels *space"],
        annotation: Int[Tensor, "batch *space"],
        fine_image: Float[Tensor, "batch channels *space"],
        fine_annotation: Int[Tensor, "batch *space"],
        alpha: Float[Tensor, " batch"],
    ) -> Mixed:
        """Paste x' over each open region of x: x_mix = (1 - alpha) x + alpha x'.

        x' is cut along the bounding box of the same superclass, resized (linear; its labels by
        nearest neighbour) to the box of the region, and kept inside the region only.

        Args:
            image: x, coarsely labelled.
            annotation: of x, indices into the table of label sets.
            fine_image: x', finely labelled.
            fine_annotation: of x'.
            alpha: share of x' in each item, from 0 to 1.

        Returns:
            The mixed images, and the pasted cell of each voxel (-1 elsewhere).
        """
        annotation, fine_annotation = annotation.long(), fine_annotation.long()
        result = image.clone()
        pasted = torch.full_like(annotation, -1)
        region, cell = self.region[annotation], self.cell[fine_annotation]
        for i in range(len(image)):
            for index in range(self.regions):
                here, there = region[i] == index, self.inside[index][fine_annotation[i]]
                patch, label = _resized(
                    fine_image[i].float(), cell[i], bounding_box(there), bounding_box(here)
                )
                paste = here & there.any() & (label >= 0)
                mixed = (1 - alpha[i]) * image[i] + alpha[i] * patch.to(image.dtype)
                result[i] = torch.where(paste, mixed, result[i])
                pasted[i] = torch.where(paste, label, pasted[i])
        return Mixed(result, pasted)
