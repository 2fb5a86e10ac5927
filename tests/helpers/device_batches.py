"""Making batches on a device, as one of the jobs of the device test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from patch_sets import dataset, volume

from hinterland.data.on_device.batches import BatchMaker
from hinterland.data.on_device.crops import CropDataset, collate_crops
from hinterland.data.on_device.draws import draw
from hinterland.data.on_device.nnunet_recipe import NnunetBatches
from hinterland.data.on_device.residents import load_residents
from hinterland.data.sampling.sampler import StepSampler, Stream

STEPS = 2  # of each part of a job; the last one reads the log back
Begin = Callable[[], None]


@dataclass(frozen=True)
class DeviceBatches:
    """Batches cut and augmented on the device, from cases that lie there and from crops."""

    name: str
    dims: int

    def run(self, device: torch.device, precision: str, begin: Begin) -> Iterator[str]:
        del precision
        patch = (16, 18, 14)[: self.dims]
        cases = {f"c{i}": volume(0, channels=2) for i in range(4)}
        streams = (Stream("labelled", ("c0", "c1"), 6), Stream("silent", ("c2",), 6, hidden=True))
        data = dataset(patch, streams, prepared=cases)
        augmentation = NnunetBatches(patch, masked=(0, 1))
        make = BatchMaker(data, augmentation, device)
        steps = list(StepSampler(streams, STEPS))
        kept = load_residents(data, cases, torch.float16, device)
        count = augmentation.count(2)
        begin()
        for keys in steps:
            draws = [draw(data, key, kept.outlines.__getitem__, count) for key in keys]
            batch = make(kept.volumes, [kept.boxes[d.place.case.name] for d in draws], draws)
            assert batch.image.device == batch.annotation.device == device
        yield "kept"
        crops = CropDataset(data, augmentation, torch.float16)
        work = [collate_crops([crops[key] for key in keys]) for keys in steps]
        begin()
        for one in work:
            batch = make(one.volumes.to(device), one.boxes, one.draws)
        yield "crops"
