"""Boxes cut out by worker processes, for cases that do not fit on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from hinterland.data.on_device.draws import Draw, draw
from hinterland.data.on_device.recipe import BatchAugmentation
from hinterland.data.on_device.volumes import Box, Volumes, annotation_type
from hinterland.data.sampling.patches import PatchDataset, PreparedArrays, outline_of
from hinterland.data.sampling.places import drawn_corner
from hinterland.data.sampling.sampler import SampleKey


@dataclass(frozen=True)
class Crop:
    """One item: what was drawn, and the part of its volume that is needed.

    image (C, voxels), annotation (voxels,); `box` starts at 0.
    """

    draw: Draw
    box: Box
    image: Tensor
    annotation: Tensor


@dataclass(frozen=True)
class Crops:
    """The items of a batch, in memory that a device can read."""

    volumes: Volumes
    boxes: tuple[Box, ...]
    draws: tuple[Draw, ...]

    def pin_memory(self) -> Crops:
        """Copy the voxels to memory that a device can read by itself."""
        return replace(self, volumes=self.volumes.pin_memory())


class CropDataset(TorchDataset[Crop]):
    """Crops by `SampleKey`: what a batch needs of its volumes and no more, unchanged.

    Args:
        data: The items, one by one.
        augmentation: What will become of them on the device.
        dtype: Of the image there.
    """

    def __init__(
        self, data: PatchDataset, augmentation: BatchAugmentation, dtype: torch.dtype
    ) -> None:
        self.data, self.augmentation, self.dtype = data, augmentation, dtype
        self._channels: int | None = None

    def __getitem__(self, key: SampleKey) -> Crop:
        opened = lru_cache(self.data.prepared.__getitem__)
        one = draw(self.data, key, lambda name: outline_of(opened(name)), self._count(key))
        return self._crop(one, opened(one.place.case.name))

    def _count(self, key: SampleKey) -> int:
        """Return how many random numbers an item takes."""
        if self._channels is None:
            name = self.data.streams[key.stream].cases[0]
            self._channels = len(self.data.prepared[name].image)
        return self.augmentation.count(self._channels)

    def _crop(self, one: Draw, stored: PreparedArrays) -> Crop:
        """Cut out what the item's recipe needs."""
        place, augmentation = one.place, self.augmentation
        recipe = augmentation.recipe(one.numbers[None], [one.seed], len(stored.image))
        patch = augmentation.patch_size
        size = augmentation.draw_size if len(recipe.warped) else patch
        corner, extent = list(drawn_corner(place.corner, patch, size)), list(size)
        if place.plane is not None:
            corner, extent = [place.plane, *corner], [1, *extent]
        shape = stored.image.shape[1:]
        lower = [max(c, 0) for c in corner]
        upper = [min(c + e, n) for c, e, n in zip(corner, extent, shape, strict=True)]
        inside = tuple(slice(a, b) for a, b in zip(lower, upper, strict=True))
        image = torch.from_numpy(np.array(stored.image[:, *inside])).to(self.dtype)
        box = Box(0, tuple(image.shape[1:]), tuple(lower))
        lookup = self.data.lookups.get(place.case.scheme)
        rows = np.full(box.shape, self.data.blank(place.case), np.int16)
        if place.shown and lookup is not None and stored.label is not None:
            rows = lookup(np.asarray(stored.label[inside]), place.case.name)
        kind = annotation_type(len(self.data.says))
        return Crop(one, box, image.flatten(1), torch.from_numpy(rows).to(kind).flatten())


def collate_crops(items: Sequence[Crop]) -> Crops:
    """Lay the items of a batch side by side; the `collate_fn` of a DataLoader."""
    image = torch.cat([i.image for i in items], 1)
    annotation = torch.cat([i.annotation for i in items])
    sizes = [len(i.annotation) for i in items]
    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    boxes = tuple(replace(i.box, start=s) for i, s in zip(items, starts, strict=True))
    return Crops(Volumes(image, annotation), boxes, tuple(i.draw for i in items))
