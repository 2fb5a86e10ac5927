"""Cut-mix: boxes, and what is cut and pasted with them - images and annotation rows alike.

Rows of the data set's table mix by cut and paste, whatever schemes they come from. Row 0 ("any
leaf") counts in no loss, so a loss on a region is the loss of rows that are 0 outside of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hinterland.types import Batch


def box_mask(
    space: Sequence[int], side: float = 2 / 3, *, device: torch.device | str | None = None
) -> Bool[Tensor, "*space"]:
    """True, but False in one box at a random place (the mask M of CVBM and BCP).

    The box has int(side n) voxels along an axis of n, and lies inside. Drawn from torch's global
    CPU generator, which the engine seeds before each step.
    """
    keep = torch.ones(tuple(space), dtype=torch.bool)
    edges = [int(side * n) for n in space]
    starts = [int(torch.randint(n - e + 1, ())) for n, e in zip(space, edges, strict=True)]
    keep[tuple(slice(s, s + e) for s, e in zip(starts, edges, strict=True))] = False
    return keep.to(device) if device else keep


def mix(one: Tensor, other: Tensor, keep: Bool[Tensor, "..."]) -> Tensor:
    """`one` where `keep`, else `other`: images (B, C, *space) or rows (B, *space).

    keep: (*space), or one mask an item, (B, 1, *space) for images and (B, *space) for rows.
    """
    return torch.where(keep, one, other)


def only(
    rows: Int[Tensor, "batch *space"], where: Bool[Tensor, "..."]
) -> Int[Tensor, "batch *space"]:
    """The rows inside a region; outside they are 0, which no loss counts."""
    return torch.where(where, rows, 0)


def pair(one: Batch, other: Batch) -> tuple[Batch, Batch]:
    """Two batches of the same length, the shorter one repeated from its beginning."""
    n = max(len(one), len(other))
    return _cycle(one, n), _cycle(other, n)


def halves(batch: Batch) -> tuple[Batch, Batch]:
    """The first and the second half of a batch as pairs; a single item is paired with itself."""
    middle = (len(batch) + 1) // 2
    first = batch.take(list(range(middle)))
    second = batch.take(list(range(middle, len(batch))))
    return pair(first, second if len(second) else first)


def _cycle(batch: Batch, n: int) -> Batch:
    return batch if len(batch) == n else batch.take([i % len(batch) for i in range(n)])
