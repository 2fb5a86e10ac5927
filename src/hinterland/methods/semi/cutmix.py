"""Cut-mix: boxes, and what is cut and pasted with them - images and annotation rows alike.

Rows of the data set's table mix by cut and paste, whatever schemes they come from. Row 0 ("any
leaf") counts in no loss, so a loss on a region is the loss of rows that are 0 outside of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
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
    """Every other item, the last one among them, and the rest, as pairs; a single item is paired
    with itself.

    A batch ends with its foreground-centred items (`step_keys`): so both have some, the first at
    least one.
    """
    n = len(batch)
    first = batch.take(list(range((n + 1) % 2, n, 2)))
    second = batch.take(list(range(n % 2, n, 2)))
    return pair(first, second if len(second) else first)


def _cycle(batch: Batch, n: int) -> Batch:
    return batch if len(batch) == n else batch.take([i % len(batch) for i in range(n)])


@dataclass(frozen=True)
class Part:
    """The voxels that come from one of two sources: in these items, inside `region` (None: all)."""

    source: int
    items: slice
    region: Bool[Tensor, "*space"] | None


@dataclass(frozen=True)
class Arrangement:
    """Images put together from two batches of n items, and which voxels came from which.

    With cut-mix, image holds 2n: first X_0 M + X_1 (1 - M), then X_0 (1 - M) + X_1 M.
    """

    image: Float[Tensor, "items channels *space"]
    parts: tuple[Part, ...]

    def losses(
        self,
        loss: Callable[[list[Tensor], Tensor], Tensor],
        levels: Sequence[Tensor],
        rows: Sequence[Tensor],
    ) -> list[Tensor]:
        """Per source, the sum over its parts of `loss(logits, rows)`, each on its own region.

        levels: logits of `image`, one entry a deep supervision level. rows: (n, *space) of each
        source, which may differ in n where they lie side by side.
        """
        totals: dict[int, Tensor] = {}
        for part in self.parts:
            said = rows[part.source]
            if part.region is not None:
                said = only(said, part.region)
            value = loss([level[part.items] for level in levels], said)
            totals[part.source] = totals[part.source] + value if part.source in totals else value
        return [totals[source] for source in sorted(totals)]

    def rows(self, rows: Sequence[Tensor]) -> Int[Tensor, "items *space"]:
        """The rows of every voxel of `image`, cut and pasted as the images were."""
        result = torch.zeros_like(self.image[:, 0], dtype=rows[0].dtype)
        for part in self.parts:
            said = rows[part.source]
            result[part.items] += said if part.region is None else only(said, part.region)
        return result


def cut_mix(one: Tensor, other: Tensor, keep: Bool[Tensor, "*space"]) -> Arrangement:
    """Both mixtures of two batches of images (n, C, *space) along the mask `keep`."""
    n = len(one)
    a, b = slice(0, n), slice(n, 2 * n)
    image = torch.cat([mix(one, other, keep), mix(other, one, keep)])
    parts = (Part(0, a, keep), Part(0, b, ~keep), Part(1, a, ~keep), Part(1, b, keep))
    return Arrangement(image, parts)


def side_by_side(*sources: Tensor) -> Arrangement:
    """Batches of images one after the other, unmixed."""
    parts, start = [], 0
    for i, source in enumerate(sources):
        parts.append(Part(i, slice(start, start + len(source)), None))
        start += len(source)
    return Arrangement(torch.cat(sources), tuple(parts))
