"""Patches that grow while a phase trains: small ones first, whose steps cost less.

A quarter of the voxels teaches nearly as much a step while the network is coarse (Fischer et al.,
progressive growing of the patch size, arXiv 2510.23241).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.utils.data import Dataset as TorchDataset

from hinterland.data.sampling.sampler import SampleKey

UNTIL = (0.4, 0.7)
"""Shares of a phase after which the next stage begins."""
EDGES = (0.5, 0.75, 1.0)
"""Share of the patch's edges in each stage."""
LEAST = 2  # cells of the coarsest feature map along an axis: its norm needs more than one voxel


def stage_at(done: float) -> int:
    """Return the stage, from 0, where this share of the phase is done.

    >>> [stage_at(done) for done in (0.0, 0.39, 0.4, 0.99)]
    [0, 0, 1, 2]
    """
    return sum(done >= end for end in UNTIL)


def growing_sizes(patch: Sequence[int], multiple: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return the size of the patches of each stage; the last is the whole patch.

    Args:
        patch: voxels of the whole patch.
        multiple: what each edge must be a multiple of for the network.

    >>> growing_sizes((128, 112), (16, 16))
    ((64, 64), (96, 80), (128, 112))
    >>> growing_sizes((16, 56), (8, 8))
    ((16, 32), (16, 40), (16, 56))
    """
    return tuple(
        tuple(
            min(max(round(share * edge / m), LEAST) * m, edge)
            for edge, m in zip(patch, multiple, strict=True)
        )
        for share in EDGES
    )


class Staged(TorchDataset[Any]):
    """The items of the stage that a key names."""

    def __init__(self, stages: Sequence[TorchDataset[Any]]) -> None:
        self.stages = tuple(stages)

    def __getitem__(self, key: SampleKey) -> Any:
        return self.stages[key.stage][key]
