"""Samples a second: patches one by one by batchgeneratorsv2, and whole batches on a device."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.harness.cell import Cell
from benchmarks.peers.speed import make_plan

TITLE = "Augmentation: one by one, and a batch at a time"
TEXT = """
Cutting and augmenting patches with nnU-Net's ranges, from four volumes in memory: `data.device=cpu`
(batchgeneratorsv2, one patch after the other, one process) and `data.device=accelerator` (our own,
on whole batches). On a CPU both run on one thread, which is not what the second is made for: it
pays on a GPU, whose row is there once it was run on one. Milliseconds are means for a batch;
those of the host are what the process that trains is kept busy, while the device goes on by itself.
"""
SIZES = {
    "2D": ((256, 256), 24, (10, 320, 320)),
    "3D": ((128, 128, 128), 2, (140, 160, 160)),
    "thick slices": ((20, 256, 224), 2, (22, 320, 320)),
}
"""Name -> patch, batch, volume."""


@dataclass(frozen=True)
class AugmentationCell(Cell):
    """One size of patches, on one device."""

    dims: str = "2D"
    device: str = "cpu"
    shrink: int = 1
    batches: int = 6

    def run(self, folder: Path) -> dict[str, Any]:
        """Time both ways, in turns; the first batch of each is left out."""
        del folder
        import torch

        torch.set_num_threads(1)
        patch, items, shape = SIZES[self.dims]
        patch, shape = (tuple(max(n // self.shrink, 4) for n in s) for s in (patch, shape))
        device = torch.device(self.device)
        one_by_one, on_device = both_ways(patch, items, shape, device)
        times: dict[str, list[float]] = {"loader": [], "host": [], "device": []}
        for step in range(self.batches + 1):
            times["loader"].append(seconds(lambda step=step: one_by_one(step)))
            wait(device)
            started = time.perf_counter()
            on_device(step)
            times["host"].append(time.perf_counter() - started)
            wait(device)
            times["device"].append(time.perf_counter() - started)
        gpu = torch.cuda.get_device_name() if device.type == "cuda" else ""
        figures = {name: fmean(found[1:]) for name, found in times.items()}
        return {"measured": figures, "items": items, "patch": patch, "gpu": gpu}


def both_ways(
    patch: tuple[int, ...], items: int, shape: tuple[int, ...], device: Any
) -> tuple[Callable[[int], object], Callable[[int], object]]:
    """Two functions from a step to its batch: by the loader's way, and on a device."""
    from hinterland.data.on_device.augmentation import BATCH_AUGMENTATIONS
    from hinterland.data.on_device.batches import BatchMaker
    from hinterland.data.on_device.draws import draw
    from hinterland.data.on_device.residents import load_residents
    from hinterland.data.on_device.volumes import image_type
    from hinterland.data.sampling.augmentation import augment
    from hinterland.data.sampling.label_sets import foreground_values
    from hinterland.data.sampling.patches import PatchDataset, collate
    from hinterland.data.sampling.sampler import Stream, step_keys
    from hinterland.labels import spec_from_dataset_json
    from hinterland.types import Case

    plan = replace(make_plan("2D" if len(patch) == 2 else "3D"), patch_size=patch)
    spec = spec_from_dataset_json({"labels": {"background": 0, "organ": 1, "lesion": 2}})
    known = [Case(f"c{i}", (Path(f"{i}"),), Path(f"{i}")) for i in range(4)]
    data = PatchDataset(
        known, {case.name: volume(i, shape) for i, case in enumerate(known)}, spec.label_sets,
        dict(spec.schemes), (Stream("labelled", tuple(c.name for c in known), items),),
        augment(plan), seed=0,
        foreground={n: foreground_values(s, spec.tree.leaves) for n, s in spec.schemes.items()},
    )  # fmt: skip
    augmentation = BATCH_AUGMENTATIONS.get("nnunet")(plan)
    kept = load_residents(data, data.cases, image_type(plan.normalisation), device)
    make, count = BatchMaker(data, augmentation, device), augmentation.count(1)

    def on_device(step: int) -> object:
        keys = step_keys(step, data.streams, 0, 1, 0.33)
        draws = [draw(data, key, kept.outlines.__getitem__, count) for key in keys]
        return make(kept.volumes, [kept.boxes[d.place.case.name] for d in draws], draws)

    def one_by_one(step: int) -> object:
        return collate([data[key] for key in step_keys(step, data.streams, 0, 1, 0.33)])

    return one_by_one, on_device


def volume(seed: int, shape: tuple[int, ...]) -> SimpleNamespace:
    """A seeded volume of noise with two structures."""
    rng = np.random.default_rng(seed)
    label = np.zeros(shape, np.int16)
    label[:, : shape[1] // 2, : shape[2] // 3] = 1
    label[:, shape[1] // 4 : shape[1] // 3, shape[2] // 2 :] = 2
    image = (rng.standard_normal(shape) + label).astype(np.float32)[None]
    places = {v: np.argwhere(label == v)[::97] for v in (0, 1, 2)}
    return SimpleNamespace(image=image, label=label, locations=places)


def seconds(work: Callable[[], object]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def wait(device: Any) -> None:
    """Wait until a device has done all that it was given."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def cells(size: str, seeds: int) -> list[Cell]:
    """All sizes; on CUDA with `--size gpu`."""
    del seeds
    device = "cuda" if size == "gpu" else "cpu"
    shrink, batches = {"smoke": (8, 2), "gpu": (1, 50)}.get(size, (1, 12))
    return [
        AugmentationCell(
            arm=name, group=device, dims=name, device=device, shrink=shrink, batches=batches
        )
        for name in SIZES
    ]


def page(size: str, all_cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """The table of samples a second."""
    del size
    lines = [
        "| patches | batch | device | one by one, samples a second | batches, samples a second "
        "| one by one, ms a batch | batches, ms a batch (host alone) |",
        "|" + " --- |" * 7,
    ]
    for cell in all_cells:
        found = results.get(cell.name)
        if found is None:
            lines.append(f"| {cell.arm} |" + " not run |" * 6)
            continue
        ms = {name: 1e3 * value for name, value in found["measured"].items()}
        n, patch = found["items"], " x ".join(map(str, found["patch"]))
        lines.append(
            f"| {cell.arm}, {patch} | {n} | {found['gpu'] or 'CPU, one thread'} "
            f"| {1e3 * n / ms['loader']:.1f} | {1e3 * n / ms['device']:.1f} | {ms['loader']:.0f} "
            f"| {ms['device']:.3g} ({ms['host']:.3g}) |"
        )
    return "\n".join(lines)
