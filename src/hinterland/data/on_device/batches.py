"""Make batches on the device that trains, as the loader would give them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hinterland.data.on_device.draws import Draw
from hinterland.data.on_device.gather import gather, gather_offsets
from hinterland.data.on_device.packing import to_device
from hinterland.data.on_device.recipe import BatchAugmentation, Recipe
from hinterland.data.on_device.volumes import Box, Volumes
from hinterland.data.on_device.warp import warp, warp_grid, warp_table
from hinterland.data.sampling.patches import PatchDataset, image_label_row
from hinterland.types import Batch


class BatchMaker:
    """Makes the batches of a phase on a device, from what was drawn for them.

    The host computes a few small tables, which go to the device in one copy; everything else is
    computed there, and the host never waits for it.

    Args:
        data: The items, one by one.
        augmentation: What becomes of them.
        device: Where.
    """

    def __init__(
        self, data: PatchDataset, augmentation: BatchAugmentation, device: torch.device
    ) -> None:
        self.data, self.augmentation, self.device = data, augmentation, device
        self._position = {name: i for i, name in enumerate(data.cases)}
        rows = [image_label_row(case, data.nodes) for case in data.cases.values()]
        self._image_labels = torch.stack(rows).to(device)
        self._says = data.says.to(device)

    @torch.no_grad()
    def __call__(self, volumes: Volumes, boxes: Sequence[Box], draws: Sequence[Draw]) -> Batch:
        """Make a batch.

        Args:
            volumes: On the device.
            boxes: Where in them the volume of each item lies.
            draws: The items.
        """
        channels = len(volumes.image)
        numbers, seeds = np.stack([d.numbers for d in draws]), [d.seed for d in draws]
        recipe = self.augmentation.recipe(numbers, seeds, channels)
        tables = to_device(self._tables(recipe, boxes, draws), self.device)
        image, annotation, empty = self._place(volumes, tables, len(draws))
        images = image.flatten(0, 1)
        for i, step in enumerate(recipe.steps):
            rows = tables[f"rows {i}"]
            changed = step.change(images.index_select(0, rows), tables[f"parameters {i}"])
            images.index_copy_(0, rows, changed)
        for channel in self.augmentation.masked:
            image[:, channel].masked_fill_(empty, 0)
        says = self._says[annotation.long()].flatten(1)
        cases, streams = [d.place.case for d in draws], self.data.streams
        return Batch(
            image=image,
            annotation=annotation,
            labelled=says.any(1),
            image_labels=self._image_labels[tables["case"]],
            covers=tables["covers"],
            case=tuple(c.name for c in cases),
            group=tuple(c.group for c in cases),
            domain=tuple(c.domain for c in cases),
            streams=tuple(streams[d.key.stream].name for d in draws),
        )

    def _tables(
        self, recipe: Recipe, boxes: Sequence[Box], draws: Sequence[Draw]
    ) -> dict[str, NDArray]:
        """Return all that the device must be told."""
        patch, drawn = self.augmentation.patch_size, self.augmentation.draw_size
        places = [d.place for d in draws]
        plain = np.setdiff1d(np.arange(len(draws)), recipe.warped)
        tables: dict[str, NDArray] = {
            "plain": plain,
            "warped": recipe.warped,
            "theta": warp_table(recipe.matrix, patch, drawn),
            "shown": np.array([p.shown for p in places]),
            "blank": np.array([self.data.blank(p.case) for p in places], np.int16),
            "covers": np.array([p.covers for p in places]),
            "case": np.array([self._position[p.case.name] for p in places]),
        }
        for name, items, size in (("plain", plain, patch), ("warped", recipe.warped, drawn)):
            offsets = gather_offsets(
                [draws[i] for i in items], [boxes[i] for i in items],
                recipe.axes[items], recipe.reverse[items], patch, size,
            )  # fmt: skip
            tables |= {f"{name} {axis}": along for axis, along in enumerate(offsets)}
        for i, step in enumerate(recipe.steps):
            tables[f"rows {i}"], tables[f"parameters {i}"] = step.rows, step.parameters
        return tables

    def _place(
        self, volumes: Volumes, tables: dict[str, Tensor], items: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Cut, mirror, turn and scale.

        Returns the images, the annotations int16, and where all masked channels were zero.
        """
        patch, device = self.augmentation.patch_size, self.device
        image = torch.empty((items, len(volumes.image), *patch), device=device)
        annotation = torch.empty((items, *patch), dtype=torch.int16, device=device)
        empty = torch.zeros((items, *patch), dtype=torch.bool, device=device)
        if len(rows := tables["plain"]):
            pixels, maps = self._read(volumes, tables, "plain")
            self._store((image, annotation, empty), rows, pixels, maps)
        if len(rows := tables["warped"]):
            drawn, maps = self._read(volumes, tables, "warped")
            grid = warp_grid(tables["theta"], patch[-tables["theta"].shape[-1] :])
            pixels = warp(drawn, grid, "bilinear")
            maps = warp(maps.float(), grid, "nearest")
            self._store((image, annotation, empty), rows, pixels, maps)
        return image, annotation, empty

    @staticmethod
    def _store(
        into: tuple[Tensor, Tensor, Tensor], rows: Tensor, pixels: Tensor, maps: Tensor
    ) -> None:
        image, annotation, empty = into
        image.index_copy_(0, rows, pixels)
        annotation.index_copy_(0, rows, maps[:, 0].to(torch.int16))
        if maps.shape[1] > 1:
            empty.index_copy_(0, rows, maps[:, 1] != 0)

    def _read(
        self, volumes: Volumes, tables: dict[str, Tensor], name: str
    ) -> tuple[Tensor, Tensor]:
        """Return images, and maps (items, M, *size) int16 that move along with them."""
        dims = len(self.augmentation.patch_size)
        image, stored, outside = gather(volumes, [tables[f"{name} {a}"] for a in range(dims)])
        shape, rows = (-1, *(1,) * dims), tables[name]
        shown, blank = (tables[n][rows].view(shape) for n in ("shown", "blank"))
        annotation = torch.where(shown, stored.to(torch.int16), blank).masked_fill_(outside, 0)
        maps = [annotation]
        if self.augmentation.masked:  # channel by channel: a list as index would be a copy
            zero = [image[:, channel] == 0 for channel in self.augmentation.masked]
            maps.append(torch.stack(zero).all(0).to(torch.int16))
        return image, torch.stack(maps, 1)
