"""Where batches are made: patch by patch on the CPU, or whole on the device that trains."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from hinterland.data.on_device.ahead import Ahead
from hinterland.data.on_device.augmentation import BATCH_AUGMENTATIONS
from hinterland.data.on_device.batches import BatchMaker
from hinterland.data.on_device.crops import CropDataset, Crops, collate_crops
from hinterland.data.on_device.draws import Draw, draw
from hinterland.data.on_device.residents import (
    Residents,
    bytes_needed,
    bytes_to_spare,
    load_residents,
)
from hinterland.data.on_device.volumes import image_type
from hinterland.data.sampling.growth import Staged
from hinterland.data.sampling.patches import PatchDataset, collate
from hinterland.data.sampling.sampler import StepSampler
from hinterland.training.config import TrainConfig
from hinterland.training.device import data_workers
from hinterland.types import Batch, Plan

log = logging.getLogger(__name__)


class Loader:
    """Makes the batches of all phases of a training.

    Args:
        config: `config.data.device` says where.
        plan: Of the patches.
        accelerator: What trains: "cuda", "mps" or "cpu".
    """

    def __init__(self, config: TrainConfig, plan: Plan, accelerator: str) -> None:
        self.config, self.plan, self.accelerator = config, plan, accelerator
        self._residents: Residents | None = None
        self._fits: bool | None = None

    def batches(
        self,
        stages: Sequence[PatchDataset],
        sampler: StepSampler,
        names: Collection[str],
        device: torch.device,
    ) -> Ahead[Any]:
        """Return the batches of a phase, on the device that trains.

        Args:
            stages: The items of the phase, one by one, for each stage of growing patches.
            sampler: Which of them each step takes.
            names: The cases that any phase draws from.
            device: Where training runs.

        Returns:
            The batches, made ahead of the steps.
        """
        if not self.config.data.on_accelerator(self.accelerator):
            loader = self._loader(Staged(stages), sampler, collate)
            return Ahead(loader, lambda batch: batch.to(device), device)
        made = BATCH_AUGMENTATIONS.get(self.config.data.augmentation)
        sizes = [stage.augmentation.patch_size for stage in stages]
        changes = [made(replace(self.plan, patch_size=size)) for size in sizes]
        makers = [BatchMaker(s, change, device) for s, change in zip(stages, changes, strict=True)]
        dtype = image_type(self.plan.normalisation)
        residents = self._keep(stages[-1], names, dtype, device)
        if residents is None:
            items = [CropDataset(s, c, dtype) for s, c in zip(stages, changes, strict=True)]
            crops = self._loader(Staged(items), sampler, collate_crops)

            def from_crops(work: Crops) -> Batch:
                make = makers[work.draws[0].key.stage]
                return make(work.volumes.to(device), work.boxes, work.draws)

            return Ahead(crops, from_crops, device)
        channels = len(residents.volumes.image)
        counts = [change.count(channels) for change in changes]
        boxes = residents.boxes

        def from_residents(draws: list[Draw]) -> Batch:
            make = makers[draws[0].key.stage]
            return make(residents.volumes, [boxes[d.place.case.name] for d in draws], draws)

        return Ahead(_Draws(stages, sampler, residents, counts), from_residents, device)

    def _keep(
        self,
        patches: PatchDataset,
        names: Collection[str],
        dtype: torch.dtype,
        device: torch.device,
    ) -> Residents | None:
        """Return the cases on the device, brought there once; None where they do not fit."""
        if self._fits is None:
            need = bytes_needed(patches, names, dtype)
            spare = bytes_to_spare(device, self.plan.memory_gb)
            self._fits = need <= spare
            where = f"in the memory of {device}" if self._fits else "cut out by worker processes"
            log.info("cases for batches made on %s (%.2f GB): %s", device, need / 2**30, where)
        if self._fits and self._residents is None:
            self._residents = load_residents(patches, names, dtype, device)
        return self._residents

    def _loader(
        self, items: TorchDataset[Any], sampler: StepSampler, together: Callable[..., Any]
    ) -> DataLoader[Any]:
        workers = data_workers(self.config, self.accelerator)
        return DataLoader(
            items,
            batch_sampler=sampler,
            collate_fn=together,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=self.accelerator == "cuda",
        )


class _Draws:
    """What is drawn for each batch of a phase, from cases on the device."""

    def __init__(
        self,
        stages: Sequence[PatchDataset],
        sampler: StepSampler,
        residents: Residents,
        counts: Sequence[int],
    ) -> None:
        self._stages, self._sampler, self._counts = stages, sampler, counts
        self._outline = residents.outlines.__getitem__

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[list[Draw]]:
        for keys in self._sampler:
            yield [
                draw(self._stages[key.stage], key, self._outline, self._counts[key.stage])
                for key in keys
            ]
