"""Seconds and peak memory of prediction: slabs, one piece (before), MONAI and nnU-Net."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.harness.cell import ROOT, Cell
from benchmarks.peers.prediction_sides import peak_mib
from hinterland.networks.base import SplitNetwork

if TYPE_CHECKING:
    import torch

TITLE = "Memory of prediction: slabs beside one piece, MONAI and nnU-Net"
TEXT = """
From a preprocessed image to the labels of the file, with a network that costs nearly nothing (one
strided convolution to eight features, enlarged, and one of 1 x 1 x 1 to the classes), so that what
is measured is everything else.
Tiles are the same on all sides and overlap by half. (At 512 x 512 by nothing, and all but 64 slices
are air, whose tiles are predicted once: neither changes the peak.) "One piece" is what Hinterland
did before: averages of all cells for the whole image, groups afterwards, labels channel by channel.
MONAI is `sliding_window_inference` (Gaussian) followed by trilinear resampling of all channels;
nnU-Net is the sliding window alone, without the way back. "File to file" is `predict_files` on a
NIfTI file of int16: reading, clipping, cubic resampling to the network's grid, slabs, and writing.
Each side runs in a process of its own:
seconds, the largest resident size (VmHWM), and how much of it was not there at the start, with the
libraries and the image. Sides that would need more than the machine has are not run: the table says
what the averages of all cells alone would take, in float32. At the target every voxel is of the
second group, so that the last column says nothing there. Other work shared the machine's two cores
while the rows were made, and its load changed between sides: compare memory, not seconds.
"""
SIDES = ("slabs", "file to file", "one piece", "monai", "nnunet")
WIDTH = 8
"""Features from which the network makes its logits."""
TARGET = 2
"""Groups of the coarse question: background and the rest."""


@dataclass(frozen=True)
class MemoryCell(Cell):
    """One image, network and question, all sides one after the other.

    `shape` (z, y, x) and `tile` in voxels of the preprocessed grid; the file's grid is `finer`
    times as fine. `groups`: cells summed to so many. `body`: slices that are not air.
    """

    shape: tuple[int, int, int] = (96, 160, 160)
    tile: tuple[int, int, int] = (32, 96, 96)
    cells: int = 5
    groups: int = 5
    finer: float = 1.25
    overlap: float = 0.5
    body: int = 2**30
    sides: tuple[str, ...] = SIDES
    threads: int = 2

    def run(self, folder: Path) -> dict[str, Any]:
        folder.mkdir(parents=True, exist_ok=True)
        result = {}
        for side in self.sides:
            out = folder / f"{side.replace(' ', '-')}.json"
            python = sys.executable
            if side == "nnunet":
                python = os.environ.get("HINTERLAND_NNUNET_PYTHON", "")
                if not python:
                    continue
            spec = json.dumps([side, self.shape, self.tile, self.cells, self.groups, self.finer,
                               self.overlap, self.body, self.threads, str(out)])  # fmt: skip
            environment = {**os.environ, "OMP_NUM_THREADS": str(self.threads)}
            script = ["-m", "benchmarks.peers.prediction_memory"]
            if side == "nnunet":
                environment.pop("PYTHONPATH", None)
                script = [str(Path(__file__).with_name("prediction_memory_nnunet.py"))]
            subprocess.run([python, *script, spec], cwd=ROOT, env=environment, check=True)
            result[side] = json.loads(out.read_text())
        return {"measured": result}


def network(cells: int) -> SplitNetwork:
    """One strided convolution to `WIDTH` features, enlarged, and a 1x1x1 convolution to logits."""
    import torch

    from hinterland.networks.base import SplitNetwork

    torch.manual_seed(0)

    class Enlarged(torch.nn.Module):
        def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
            return [torch.nn.functional.interpolate(features[0], scale_factor=4)]

    class Strided(torch.nn.Conv3d):
        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:  # type: ignore[override]
            return [super().forward(x)]

    class Head(torch.nn.Conv3d):
        def forward(self, decoded: list[torch.Tensor]) -> list[torch.Tensor]:  # type: ignore[override]
            return [super().forward(decoded[0])]

    class Trivial(SplitNetwork):
        pointwise_head = True

        def __init__(self) -> None:
            super().__init__(3, 1, cells)
            self.encoder, self.decoder = Strided(1, WIDTH, 4, stride=4), Enlarged()
            self.head = Head(WIDTH, cells, 1)

        def make_decoder(self, upsampling: str = "transposed", *, seed: int) -> torch.nn.Module:
            return Enlarged()

        def make_head(self, out_channels: int, *, seed: int) -> torch.nn.Module:
            return Head(WIDTH, out_channels, 1)

    return Trivial().eval()


def make_image(shape: Sequence[int], body: int) -> np.ndarray:
    """A seeded image, float32 (1, z, y, x), made slice by slice; ones after the first `body`."""
    rng = np.random.default_rng(0)
    image = np.ones((1, *shape), np.float32)
    for plane in image[0, :body]:
        rng.standard_normal(dtype=np.float32, out=plane)
    return image


def geometry_of(shape: Sequence[int], finer: float) -> Any:
    """Of an uncropped file whose grid is `finer` times as fine."""
    from hinterland.data.preprocessing.geometry import Geometry

    file = tuple(round(n * finer) for n in shape)
    return Geometry(file, (0, 1, 2), (0, 0, 0), file, (1 / finer,) * 3, (1.0, 1.0, 1.0))  # type: ignore[arg-type]


def members(cells: int, groups: int) -> np.ndarray:
    """(groups, cells) bool: the first cells by themselves, all others in the last group."""
    found = np.zeros((groups, cells), bool)
    found[np.minimum(np.arange(cells), groups - 1), np.arange(cells)] = True
    return found


@dataclass(frozen=True)
class Job:
    """What a side is given. `rows` (groups, cells) says which cells the groups hold."""

    image: np.ndarray
    tile: tuple[int, ...]
    model: SplitNetwork
    geometry: Any
    rows: np.ndarray
    overlap: float
    file: Path


def slabs(job: Job) -> np.ndarray:
    """As Hinterland predicts now."""
    from hinterland.inference.restore import Channels, restored_labels
    from hinterland.inference.volumes import grouped
    from hinterland.inference.window import window_slabs
    from hinterland.networks.in_parts import softmax_in_parts

    found = window_slabs(
        grouped(
            lambda x: job.model(x).softmax(1),
            job.rows,
            partial(softmax_in_parts, job.model),
        ),
        job.image,
        job.tile,
        overlap=job.overlap,
    )
    channels = Channels(np.arange(len(job.rows), dtype=np.uint8), 0)
    return restored_labels(found, job.geometry, [channels])[0]


def file_to_file(job: Job) -> np.ndarray:
    """All that `hinterland predict` does with one scan, from its file to the label's."""
    from hinterland.data.io.volume import read_label
    from hinterland.inference.folder import predict_files
    from hinterland.inference.volumes import Predictor, WindowOptions
    from hinterland.labels import Coarsening, LabelTree
    from hinterland.networks.in_parts import softmax_in_parts
    from hinterland.types import NetworkPlan, Normalisation, Plan

    names = [f"class-{i}" for i in range(job.rows.shape[1])]
    tree = LabelTree({name: {} for name in names})
    asked = {f"group-{g}": [names[c] for c in np.flatnonzero(r)] for g, r in enumerate(job.rows)}
    at = Coarsening.from_dict(tree, asked)
    plan = Plan(
        dims=3, channels=("CT",), normalisation=(Normalisation("ct", -1000, 1000, 0, 300),),
        spacing=(1.0, 1.0, 1.0), unit="mm", transpose=(0, 1, 2), median_shape=job.geometry.shape,
        patch_size=job.tile, batch_size=2, batch_dice=False, fingerprint="",
        network=NetworkPlan((WIDTH, WIDTH), ((1,) * 3, (4,) * 3), ((3,) * 3,) * 2),
    )  # fmt: skip
    model = job.model
    predictor = Predictor(
        lambda x: model(x).softmax(1), plan, tree.leaves, WindowOptions(overlap=job.overlap),
        partial(softmax_in_parts, model),
    )  # fmt: skip
    values = {name: i for i, name in enumerate(at.names)}
    out = job.file.parent / "out"
    (written,) = predict_files(predictor, [("case", (job.file,))], out, at, values, overwrite=True)
    return read_label(written).array[0]


def write_file(path: Path, shape: Sequence[int], finer: float, body: int) -> None:
    """Write a CT of int16, on the file's grid, slice by slice; air after the first slices."""
    import nibabel as nib

    depth, height, width = (round(n * finer) for n in shape)
    image = nib.Nifti1Image(np.zeros((1, 1, 1), np.int16), np.diag([1 / finer] * 3 + [1.0]))
    image.header.set_data_shape((width, height, depth))
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        image.header.write_to(file)
        file.write(bytes(int(image.header["vox_offset"]) - file.tell()))
        for z in range(depth):
            noise = rng.normal(0, 300, (height, width)) if z < body * finer else -1000
            file.write(np.broadcast_to(noise, (height, width)).astype("<i2").tobytes())


def one_piece(job: Job) -> np.ndarray:
    """As Hinterland predicted before: averages of all cells, of the whole image."""
    import torch

    from hinterland.inference.tiling import tile_starts
    from hinterland.inference.volumes import group_sums
    from hinterland.inference.window import gaussian_weights

    source = torch.from_numpy(job.image.copy())
    weights = torch.from_numpy(gaussian_weights(tuple(job.tile)))
    total = torch.zeros(job.rows.shape[1], *source.shape[1:])
    weight = torch.zeros(source.shape[1:])
    starts = [
        tile_starts(n, t, job.overlap) for n, t in zip(source.shape[1:], job.tile, strict=True)
    ]
    for place in product(*starts):
        box = tuple(slice(a, a + t) for a, t in zip(place, job.tile, strict=True))
        with torch.inference_mode():
            logs = job.model(source[(slice(None), *box)][None]).softmax(1).log()[0]
        total[(slice(None), *box)] += logs * weights
        weight[box] += weights
    logs = group_sums((total / weight).softmax(0)[None], job.rows)[0].log().numpy()
    return job.geometry.undo_argmax(logs).astype(np.uint8)  # type: ignore[no-any-return]


def monai(job: Job) -> np.ndarray:
    """MONAI's sliding window, resampling of all channels, and their arg max."""
    import torch
    from monai.inferers import sliding_window_inference

    with torch.inference_mode():
        logits = sliding_window_inference(
            torch.from_numpy(job.image)[None],
            tuple(job.tile),
            1,
            job.model,
            overlap=job.overlap,
            mode="gaussian",
        )
        p = logits.softmax(1)  # type: ignore[union-attr]
        if len(job.rows) < job.rows.shape[1]:
            p = torch.stack([p[:, np.flatnonzero(row)].sum(1) for row in job.rows], dim=1)
        p = torch.nn.functional.interpolate(p, job.geometry.original_shape, mode="trilinear")
        return p.argmax(1)[0].to(torch.uint8).numpy()  # type: ignore[no-any-return]


def cells(size: str, seeds: int) -> list[Cell]:
    """Few and many classes, at the leaves and at a coarse question; then a long CT."""
    del seeds
    if size == "smoke":
        return [MemoryCell(arm="smoke", shape=(16, 16, 16), tile=(8, 8, 8), cells=4, groups=2,
                           sides=("slabs", "file to file", "one piece", "monai"))]  # fmt: skip
    asked = [(5, 5), (15, 15), (118, 118), (118, TARGET)]
    small: list[Cell] = [
        MemoryCell(arm=f"{k} classes, {'all' if k == g else 'target'}", cells=k, groups=g)
        for k, g in asked
    ]
    long: list[Cell] = [
        MemoryCell(arm=f"118 classes, target, {z} slices", shape=(z, 512, 512), finer=1.0,
                   tile=(64, 128, 128), cells=118, groups=TARGET, overlap=0.0, body=64,
                   sides=("slabs", "file to file"))
        for z in (300, 800)
    ]  # fmt: skip
    coarser = MemoryCell(
        arm="118 classes, target, 800 slices of 1 mm as 533 of 1.5 mm", shape=(533, 341, 341),
        finer=1.5, tile=(64, 128, 128), cells=118, groups=TARGET, body=64, sides=("file to file",),
    )  # fmt: skip
    return [*small, *long, coarser]


def page(size: str, all_cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """Seconds and peak of each side."""
    lines = [
        "| image, network's grid | question | "
        + " | ".join(f"{s}: s, MiB, working MiB" for s in SIDES)
        + " | averages of all cells, MiB | change of class sizes, slabs against one piece |",
        "|" + " --- |" * (4 + len(SIDES)),
    ]  # fmt: skip
    for cell in all_cells:
        assert isinstance(cell, MemoryCell)
        found = results.get(cell.name, {}).get("measured", {})
        shown = [
            f"{found[s]['seconds']:.1f}, {found[s]['peak_mib']:.0f}, "
            f"{found[s]['peak_mib'] - found[s]['before_mib']:.0f}"
            if s in found
            else "not run"
            for s in SIDES
        ]
        sums = cell.cells * np.prod(cell.shape) * 4 / 2**20
        differ = ""
        if "one piece" in found and "slabs" in found:
            one, other = (np.array(found[s]["counts"]) for s in ("one piece", "slabs"))
            differ = f"{np.abs(one - other).sum() / one.sum():.1e}"
        lines.append(
            f"| {' x '.join(map(str, cell.shape))} | {cell.arm} | {' | '.join(shown)} "
            f"| {sums:.0f} | {differ} |"
        )
    return "\n".join(lines)


def main(spec: str) -> None:
    """One side, in a process of its own."""
    import torch

    side, shape, tile, cells, groups, finer, overlap, body, threads, out = json.loads(spec)
    torch.set_num_threads(threads)
    file = Path(out).with_suffix(".nii")
    to_file = side == "file to file"
    if to_file:
        subprocess.run([sys.executable, "-m", "benchmarks.peers.prediction_memory", "write", spec],
                       check=True)  # fmt: skip
    image = make_image((1, 1, 1) if to_file else shape, body)
    model = network(cells)
    geometry, rows = geometry_of(shape, finer), members(cells, groups)
    job = Job(image, tuple(tile), model, geometry, rows, overlap, file)
    run = {"slabs": slabs, "file to file": file_to_file, "one piece": one_piece, "monai": monai}[
        side
    ]
    before, started = peak_mib(), time.perf_counter()
    label = run(job)
    seconds, peak = time.perf_counter() - started, peak_mib()
    file.unlink(missing_ok=True)
    content = {"seconds": seconds, "peak_mib": peak, "before_mib": before,
               "counts": np.bincount(label.reshape(-1), minlength=groups).tolist()}  # fmt: skip
    Path(out).write_text(json.dumps(content))


if __name__ == "__main__":
    if sys.argv[1] == "write":
        _, size, _, _, _, times, _, slices, _, result = json.loads(sys.argv[2])
        write_file(Path(result).with_suffix(".nii"), size, times, slices)
    else:
        main(sys.argv[1])
