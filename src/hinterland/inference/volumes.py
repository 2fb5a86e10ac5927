"""Predict whole images: log-probabilities on the network's grid, labels on the file's."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor

from hinterland.data.preprocessing.geometry import Geometry
from hinterland.inference.coarse_to_fine import Search, outside
from hinterland.inference.forward import TINY, Place
from hinterland.inference.restore import Channels, restored_labels
from hinterland.inference.slabs import Slab
from hinterland.inference.tiling import Tiling
from hinterland.inference.window import assembled, window_slabs
from hinterland.labels import Coarsening
from hinterland.types import HinterlandError, Plan

log = logging.getLogger(__name__)
Model = Callable[[Tensor], Tensor]
Summed = Callable[[Tensor, Model], Tensor]


@dataclass(frozen=True)
class WindowOptions:
    """How volumes are predicted; see `sliding_window`. `batch` counts tiles per forward pass."""

    mirror: tuple[int, ...] = ()
    overlap: float = 0.5
    batch: int = 1
    device: str = "cpu"
    precision: str = "fp32"


@dataclass(frozen=True)
class Predictor:
    """A trained model and what its channels mean.

    `model` maps (B, C, *patch) to probabilities over `cells`. `summed(x, then)` is `then(model(x))`
    in less memory, where somebody knows how (`Method.summed`). `search` says where an image is
    predicted; None is everywhere.
    """

    model: Model
    plan: Plan
    cells: Coarsening
    options: WindowOptions = field(default_factory=WindowOptions)
    summed: Summed | None = None
    search: Search | None = None

    def slabs(
        self, image: np.ndarray, *questions: Coarsening, case: str = "an image"
    ) -> Iterator[Slab]:
        """Predict a preprocessed image, slab by slab.

        Where a question is coarser than the model's cells, each tile's probabilities are summed
        to groups before flips and tiles are averaged: cells are alive for a few tiles at a time,
        groups for a slab. The answer to a question is the same whatever else is asked; with a
        `search`, where that finds something.

        Args:
            image: (C, z, y, x).
            questions: whose groups are the channels, one question after the other.
            case: what the image is called, where nothing is found in it.

        Returns:
            An iterator of log-probabilities of all groups; see `window_slabs`.

        Raises:
            HinterlandError: the model's output is not a number.
        """
        members = np.concatenate([at.over(self.cells) for at in questions])
        model = grouped(self.model, members, self.summed)
        parts = [len(at) for at in questions]
        only = self._found(model, image, questions, case)
        background = outside(questions, float(np.log(TINY))) if only is not None else ()
        for slab in window_slabs(
            model, image, self.plan.patch_size, **vars(self.options), parts=parts,
            only=only, outside=background,
        ):  # fmt: skip
            if slab.logs.sum().isnan():
                raise HinterlandError(
                    "the model's output is not a number. If it is so for every image, its weights "
                    "are spoilt: train again, with a smaller learning rate (--set "
                    "optimiser.lr=...). Else look at the image's intensities."
                )
            yield slab

    def _found(
        self, model: Model, image: np.ndarray, questions: Sequence[Coarsening], case: str
    ) -> frozenset[Place] | None:
        """Find the tiles that are worked on; None is all of them."""
        tile, options = self.plan.patch_size, vars(self.options)
        tiling = Tiling.of(image.shape[1:], tile, self.options.overlap)
        sparse = self.search.sparse(tiling) if self.search else None
        if self.search is None or sparse is None:
            return None
        once = {**options, "mirror": (), "overlap": sparse.overlap}
        parts = [len(at) for at in questions]
        slabs = window_slabs(model, image, tile, **once, parts=parts)
        places = self.search.places(slabs, tiling, questions, self.plan.spacing)
        if not places:
            log.warning("%s: the fast search found nothing; all of it is predicted", case)
        return places or None

    def log_probabilities(self, image: np.ndarray, *questions: Coarsening) -> np.ndarray:
        """Map a preprocessed image (C, z, y, x) to log-probabilities (groups, z, y, x).

        The groups are those of one question after the other.
        """
        return assembled(self.slabs(image, *questions), image.shape[1:])

    def labels(self, image: np.ndarray, geometry: Geometry, at: Coarsening) -> np.ndarray:
        """Predict the most probable group for each voxel of the file.

        Args:
            image: preprocessed, (C, z, y, x).
            geometry: how it came from the file.
            at: the question.

        Returns:
            Indices of groups, uint8 (z, y, x).
        """
        indices = Channels(np.arange(len(at), dtype=np.uint8), at.background)
        return restored_labels(self.slabs(image, at), geometry, [indices])[0]


def grouped(model: Model, members: np.ndarray, summed: Summed | None = None) -> Model:
    """Return a model of groups: it sums the probabilities of their cells.

    Args:
        model: (B, C, ...) -> probabilities (B, cells, ...).
        members: (groups, cells) bool.
        summed: see `Predictor`.

    Returns:
        (B, C, ...) -> probabilities (B, groups, ...).
    """
    if np.array_equal(members, np.eye(len(members))):
        return model
    sums = partial(group_sums, members=members)
    if summed is None:
        return lambda x: sums(model(x))
    return lambda x: summed(x, sums)


def group_sums(p: Tensor, members: np.ndarray) -> Tensor:
    """Return the summed probabilities of groups, float32.

    Args:
        p: probabilities (B, cells, ...).
        members: (groups, cells) bool.

    Returns:
        (B, groups, ...).
    """
    out = p.new_zeros((len(p), len(members), *p.shape[2:]), dtype=torch.float32)
    for group, row in enumerate(members):
        for cell in np.flatnonzero(row).tolist():  # no copy of many channels
            out[:, group] += p[:, cell]
    return out


@dataclass(frozen=True)
class Decoding:
    """A question, and the integer that is written for each of its groups (`group_values`)."""

    at: Coarsening
    values: Mapping[str, int]

    def channels(self, first: int = 0) -> Channels:
        """Say how it is decoded from a prediction whose channel `first` is its first group."""
        values = np.array([self.values[name] for name in self.at.names])
        smallest = np.result_type(*(np.min_scalar_type(v) for v in values))
        return Channels(values.astype(smallest), self.at.background, first)
