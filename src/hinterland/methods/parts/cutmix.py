"""Cut-mix: boxes, and what is cut and pasted with them - images and annotations alike.

Numbers of label sets mix by cut and paste, whatever schemes they come from. Number 0 ("any leaf")
counts in no loss, so a loss on a region is the loss of an annotation that is 0 outside of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hinterland.losses.base import downsample_annotation
from hinterland.types import Batch


def box_mask(
    space: Sequence[int], side: float = 2 / 3, *, device: torch.device | str | None = None
) -> Bool[Tensor, "*space"]:
    """Return a mask that is True, but False in one box at a random place (M of CVBM and BCP).

    The box has int(side n) voxels along an axis of n, and lies inside. Drawn from torch's global
    CPU generator, which the engine seeds before each step.

    Args:
        space: voxels, one number an axis.
        side: of the box, as a share of each axis.
        device: where the mask goes.

    Returns:
        The mask.
    """
    keep = torch.ones(tuple(space), dtype=torch.bool, device=device)
    edges = [int(side * n) for n in space]
    starts = [int(torch.randint(n - e + 1, ())) for n, e in zip(space, edges, strict=True)]
    keep[tuple(slice(s, s + e) for s, e in zip(starts, edges, strict=True))] = False
    return keep


def mix(one: Tensor, other: Tensor, keep: Bool[Tensor, "..."]) -> Tensor:
    """Return `one` where `keep`, else `other`: images (B, C, *space) or annotations (B, *space).

    Args:
        one: shown where `keep` is true.
        other: shown elsewhere; of the same shape.
        keep: (*space), or a mask an item: (B, 1, *space) for images, (B, *space) for annotations.

    Returns:
        The mixture, of the shape of `one`.
    """
    return torch.where(keep, one, other)


def only(
    annotation: Int[Tensor, "batch *space"], where: Bool[Tensor, "..."]
) -> Int[Tensor, "batch *space"]:
    """Return the annotation inside a region; outside it is 0, which no loss counts."""
    return torch.where(where, annotation, 0)


def pair(one: Batch, other: Batch) -> tuple[Batch, Batch]:
    """Return two batches of the same length, the shorter one repeated from its beginning."""
    n = max(len(one), len(other))
    return _cycle(one, n), _cycle(other, n)


def halves(batch: Batch) -> tuple[Batch, Batch]:
    """Return every other item, the last one among them, and the rest, as pairs.

    A single item is paired with itself.

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
        annotations: Sequence[Tensor],
        *,
        joined: bool = False,
    ) -> list[Tensor]:
        """Return a loss for each source, summed over its parts.

        Args:
            loss: of logits (one entry a deep supervision level) and an annotation.
            levels: logits of `image`, highest resolution first.
            annotations: (n, *space) of each source, which may differ in n where they lie side by
                side.
            joined: put the logits of a source's parts back together and take the loss of the whole,
                times their number. Otherwise every part has a loss on its own region: of a region
                that holds slivers of an object, Dice says little.

        Returns:
            One loss a source, in the order of `annotations`.
        """
        found = []
        for source, said in enumerate(annotations):
            parts = [part for part in self.parts if part.source == source]
            if joined:
                found.append(len(parts) * loss(self._cut_out(levels, parts), said))
                continue
            values = [
                loss([level[p.items] for level in levels], _inside(said, p.region)) for p in parts
            ]
            found.append(sum(values[1:], start=values[0]))
        return found

    def _cut_out(self, levels: Sequence[Tensor], parts: Sequence[Part]) -> list[Tensor]:
        """Return the logits of one source, each voxel from the mixture that it went into."""
        whole = []
        for level in levels:
            first, *others = parts
            logits = level[first.items]
            for part in others:
                assert part.region is not None
                region = downsample_annotation(part.region[None].int(), tuple(level.shape[2:]))
                logits = torch.where(region[0] > 0, level[part.items], logits)
            whole.append(logits)
        return whole

    def annotation(self, annotations: Sequence[Tensor]) -> Int[Tensor, "items *space"]:
        """Return what is said of every voxel of `image`, cut and pasted as the images were."""
        result = torch.zeros_like(self.image[:, 0], dtype=annotations[0].dtype)
        for part in self.parts:
            result[part.items] += _inside(annotations[part.source], part.region)
        return result


def _inside(annotation: Tensor, region: Tensor | None) -> Tensor:
    return annotation if region is None else only(annotation, region)


def cut_mix(one: Tensor, other: Tensor, keep: Bool[Tensor, "*space"]) -> Arrangement:
    """Return both mixtures of two batches of images (n, C, *space) along the mask `keep`.

    Args:
        one: images shown where `keep` is true in the first mixture.
        other: as many, shown elsewhere.
        keep: the mask, the same for all items.

    Returns:
        2n mixed images, and where the parts of each source lie.
    """
    n = len(one)
    a, b = slice(0, n), slice(n, 2 * n)
    image = torch.cat([mix(one, other, keep), mix(other, one, keep)])
    parts = (Part(0, a, keep), Part(0, b, ~keep), Part(1, a, ~keep), Part(1, b, keep))
    return Arrangement(image, parts)


def side_by_side(*sources: Tensor) -> Arrangement:
    """Return batches of images one after the other, unmixed."""
    parts, start = [], 0
    for i, source in enumerate(sources):
        parts.append(Part(i, slice(start, start + len(source)), None))
        start += len(source)
    return Arrangement(torch.cat(sources), tuple(parts))
