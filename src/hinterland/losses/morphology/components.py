"""Connected components of classes, on a CPU by scipy and on an accelerator by torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import torch
from jaxtyping import Int
from scipy import ndimage
from torch import Tensor

ROUNDS = 8  # between two looks at whether labels have settled: each look waits for the device


def keep_largest(
    classes: Int[Tensor, "batch *space"], background: int = 0, count: int | None = None
) -> Int[Tensor, "batch *space"]:
    """Cut each class of each item down to its largest connected component.

    The rest becomes background. Voxels touch along faces, edges and corners. Of equally large
    components the one that comes first, row by row, stays.

    Args:
        classes: (batch, *space).
        background: the class that is what it is.
        count: how many classes there are; where it is not told, they are counted.

    Returns:
        The classes of what is kept.
    """
    if classes.device.type == "cpu":  # measured: scipy takes a tenth of the time
        return largest_by_scipy(classes, background)
    return largest_by_labels(classes, background, count)


def largest_by_labels(
    classes: Int[Tensor, "batch *space"], background: int = 0, count: int | None = None
) -> Int[Tensor, "batch *space"]:
    """Do what `keep_largest` says with tensors alone, wherever they are.

    Args:
        classes: (batch, *space).
        background: the class that is what it is.
        count: how many classes there are; where it is not told, they are counted.

    Returns:
        The classes of what is kept.
    """
    labels = components(classes).flatten(1)
    n, voxels = labels.shape
    count = int(classes.max()) + 1 if count is None else count
    sizes = torch.zeros_like(labels).flatten()
    sizes.scatter_add_(0, labels.flatten(), torch.ones_like(sizes))
    # One number that is highest for the largest component, and of several for the first.
    items = torch.arange(n, device=labels.device)[:, None]
    rank = sizes[labels] * voxels + (items + 1) * voxels - labels
    place = items * count + classes.flatten(1)
    best = torch.zeros(n * count, dtype=rank.dtype, device=rank.device)
    best = best.scatter_reduce(0, place.flatten(), rank.flatten(), "amax")
    keep = (rank == best[place]).view(classes.shape)
    return torch.where(keep, classes, background)


def components(classes: Int[Tensor, "batch *space"]) -> Int[Tensor, "batch *space"]:
    """Return for each voxel the first voxel of its component, counted over the whole batch.

    Voxels of one class and item that touch along faces, edges or corners are of one component. Each
    voxel points at a voxel of its component that comes earlier, at first that where its run along
    the last axis begins. In a round it takes over where its neighbours' pointers lead, and so does
    the voxel that it pointed at (FastSV, Zhang et al. 2020): that takes a few rounds, however
    winding a component is.
    """
    shape = classes.shape
    pairs = [(one, other, classes[one] != classes[other]) for one, other in _touching(shape[1:])]
    parent = _run_starts(classes).flatten()
    while True:
        for _ in range(ROUNDS):
            before = parent
            parent = parent[parent]
            lead = parent[parent].view(shape)
            low = lead.clone()
            for one, other, apart in pairs:
                lowest = torch.minimum(lead[one], lead[other]).masked_fill_(apart, lead.numel())
                for part in (low[one], low[other]):
                    torch.minimum(part, lowest, out=part)
            low = low.flatten()
            parent = torch.minimum(low, parent).scatter_reduce(0, parent, low, "amin")
        if torch.equal(parent, before):
            return parent.view(shape)


def _run_starts(classes: Tensor) -> Tensor:
    """Return for each voxel the first one of its run of one class along the last axis."""
    at = torch.arange(classes.numel(), device=classes.device).view(classes.shape)
    goes_on = classes[..., 1:] == classes[..., :-1]
    at[..., 1:].masked_fill_(goes_on, 0)
    return at.cummax(dim=-1).values


def _touching(space: Sequence[int]) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """Yield the slices of a batch that lie on each other when shifted by one voxel.

    Each direction once: the other way round is the same pair.
    """
    for shift in product((-1, 0, 1), repeat=len(space)):
        if shift > (0,) * len(space):
            there = tuple(
                slice(max(s, 0), n + min(s, 0)) for s, n in zip(shift, space, strict=True)
            )
            here = tuple(
                slice(max(-s, 0), n + min(-s, 0)) for s, n in zip(shift, space, strict=True)
            )
            yield (slice(None), *here), (slice(None), *there)


def largest_by_scipy(
    classes: Int[Tensor, "batch *space"], background: int = 0
) -> Int[Tensor, "batch *space"]:
    """Do what `keep_largest` says on the CPU."""
    items = classes.numpy()
    structure = np.ones((3,) * (items.ndim - 1), dtype=bool)
    result = np.full_like(items, background)
    for item, kept in zip(items, result, strict=True):
        for value in np.unique(item):
            if value != background:
                labels, count = ndimage.label(item == value, structure)
                largest = 1 + np.argmax(np.bincount(labels.ravel())[1:]) if count > 1 else 1
                kept[labels == largest] = value
    return torch.from_numpy(result)
