"""Batches of synthetic images: colours as indices, annotation as rows of a table, image labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hinterland.labels import LabelSpec
from hinterland.losses import PartitionLoss
from hinterland.studies.synthetic.grid import GridParameters, GridStream
from hinterland.studies.synthetic.images import SyntheticImage, SyntheticParameters, SyntheticStream
from hinterland.training.config import make_config
from hinterland.training.device import data_workers

Part = Literal["train", "val", "test"]
PARTS: dict[str, int] = {"train": 1, "val": 2, "test": 3}
"""Part -> its place in the seed: parts share no image. (Settings were tried out on part 0.)"""
Stream = SyntheticStream | GridStream


def stream_of(parameters: SyntheticParameters | GridParameters, seed: int, part: Part) -> Stream:
    """Draw the images of one part of a population.

    Args:
        parameters: of the population.
        seed: of the population.
        part: "train", "val" or "test".

    Returns:
        The images, drawn one by one.
    """
    kind = GridStream if isinstance(parameters, GridParameters) else SyntheticStream
    return kind(parameters, seed, PARTS[part])  # type: ignore[arg-type]


class _Table:
    """Two leaves and two schemes: every pixel is named, or only some and the others are `any`."""

    def __init__(self) -> None:
        self.spec = LabelSpec.from_dict(
            {
                "tree": {"background": {}, "target": {}},
                "schemes": {
                    "full": {0: "background", 1: "target"},
                    "points": {0: "background", 1: "target", 2: "any"},
                },
            }
        )
        table, schemes = self.spec.label_sets, self.spec.schemes
        self._rows = {
            name: np.array(list(table.label_set_ids(scheme).values()), dtype=np.int16)
            for name, scheme in schemes.items()
        }
        self.target = int(self._rows["full"][1])

    def label_set_ids(self, image: SyntheticImage, sparse: bool) -> np.ndarray:
        """Return (H, W) int16: what the annotation says of each pixel."""
        if not sparse or image.points is None:
            return self._rows["full"][image.mask.astype(int)]
        return self._rows["points"][np.where(image.points, image.mask, 2)]

    def loss(self) -> PartitionLoss:
        """Make the loss at the leaves, of a network with one channel each."""
        leaves = self.spec.tree.leaves
        return PartitionLoss(leaves, leaves, self.spec.label_sets)


TABLE = _Table()


class _Images(Dataset[tuple[Tensor, Tensor, Tensor]]):
    def __init__(self, stream: Stream, arm: str) -> None:
        self.stream, self.sparse, self.masks = stream, arm == "points", arm != "classifier"

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        image = self.stream[index]
        rows = (
            TABLE.label_set_ids(image, self.sparse) if self.masks else np.zeros(0, dtype=np.int16)
        )
        return (
            torch.from_numpy(image.colours),
            torch.from_numpy(rows),
            torch.tensor(image.positive),
        )


def loader(
    stream: Stream, order: Sequence[Sequence[int]], arm: str, accelerator: str
) -> DataLoader[Any]:
    """Load batches in this order.

    A batch is colours (B, H, W) uint8, rows (B, H, W) int16 and labels (B,) bool.

    Args:
        stream: draws the images.
        order: the images of each batch.
        arm: what is trained, which decides what is drawn.
        accelerator: "cpu", "cuda" or "mps".

    Returns:
        The loader.
    """
    workers = data_workers(make_config({}), accelerator)
    images = _Images(stream, arm)
    return DataLoader(images, batch_sampler=[list(b) for b in order], num_workers=workers)


def batches(count: int, size: int, start: int, end: int, seed: int) -> list[list[int]]:
    """List the images of the steps start <= step < end, each epoch in an order of its own.

    A pure function of the step, so that an interrupted training goes on with the same images.

    Args:
        count: images of an epoch.
        size: of a batch.
        start: first step.
        end: the step after the last.
        seed: of the orders.

    Returns:
        The images of each step.
    """
    positions = np.arange(start * size, end * size)
    epochs = positions // count
    indices = np.empty_like(positions)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        order = np.random.default_rng([seed, len(PARTS) + 1, int(epoch)]).permutation(count)
        indices[here] = order[positions[here] % count]
    return indices.reshape(-1, size).tolist()
