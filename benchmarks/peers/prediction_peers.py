"""Seconds and peak memory of prediction with a real network, beside nnU-Net and MONAI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.cell import ROOT, Cell

TITLE = "Prediction with a real network: backends beside nnU-Net and MONAI"
TEXT = """
From a preprocessed image in memory to one label a voxel, with the same network and weights on all
sides: nnU-Net's plain U-Net of 32 features at the top (six levels in 2D, five in 3D), tiles of 256
x 256 or 64 x 64 x 64, Gaussian weights, an overlap of one half, float32, one thread. Each side runs
in a process of its own, which loads what that tool needs to predict and no more. Memory is the
largest resident size of the process (VmHWM), libraries, weights and image included; "before" is
what is there before the image is predicted. Seconds are of processor time (user and system, all
threads), because other work shared the machine and wall time says little of a tool.
Converting for a backend happens once a network and is not in the figures: the converted network was
in the cache, as it is from the second call on.

**Like for like** are sides with the same mirroring: "no mirroring" with "no mirroring", "mirroring"
with "mirroring". **By default** nnU-Net mirrors over all axes (4 passes a tile in 2D, 8 in 3D), as
we do after training and in `predict`; MONAI's sliding window knows no mirroring. "times nnU-Net"
is nnU-Net's seconds over the side's with the same mirroring, and the memory's share is of nnU-Net's
with the same mirroring. "other labels" is the share of voxels whose label differs from torch's with
the same mirroring (weights are random, so that many voxels are near a tie, and nnU-Net rounds sums
to float16).
"""
OURS = {"torch": "Hinterland, torch", "onnxruntime": "Hinterland, onnxruntime",
        "openvino": "Hinterland, openvino"}  # fmt: skip
SIDES = ("nnunet", "monai", *OURS)
PLANS = {
    "2D": {"patch": (256, 256), "features": (32, 64, 128, 256, 512, 512)},
    "3D": {"patch": (64, 64, 64), "features": (32, 64, 128, 256, 320)},
}


@dataclass(frozen=True)
class PeersCell(Cell):
    """One image and network; all sides one after the other, with and without mirroring."""

    dims: str = "3D"
    classes: int = 5
    shape: tuple[int, int, int] = (64, 96, 96)
    mirror: bool = False

    def run(self, folder: Path) -> dict[str, Any]:
        if not (folder / "ready").is_file():
            prepare(folder, self.dims, self.classes, self.shape)
        measured = {}
        for side in SIDES:
            if side == "monai" and self.mirror:
                continue
            out = folder / f"{side}.json"
            if not out.is_file():
                self._side(side, folder, out)
            if out.is_file():
                measured[side] = json.loads(out.read_text())
        ours = np.load(folder / "torch.npy")
        for side, found in measured.items():
            found["other_labels"] = float((np.load(folder / f"{side}.npy") != ours).mean())
        return {"measured": measured}

    def _side(self, side: str, folder: Path, out: Path) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if side == "nnunet":
            python = os.environ.get("HINTERLAND_NNUNET_PYTHON", "")
            if not python:
                return
            environment.pop("PYTHONPATH", None)
            script = str(Path(__file__).with_name("prediction_peers_nnunet.py"))
            command = [python, script, str(folder), str(int(self.mirror)), str(out)]
        else:
            arguments = [side, folder, int(self.mirror), out, self.dims, self.classes]
            module = "benchmarks.peers.prediction_peers"
            command = [sys.executable, "-m", module, *map(str, arguments)]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)


def make_plan(dims: str) -> Any:
    """The plan that all sides follow."""
    from hinterland.types import NetworkPlan, Normalisation, Plan

    patch, features = PLANS[dims]["patch"], PLANS[dims]["features"]
    n, d = len(features), len(patch)
    return Plan(
        dims=d, channels=("MRI",), normalisation=(Normalisation("zscore"),),
        spacing=(None if d == 2 else 1.0, 1.0, 1.0), unit="mm", transpose=(0, 1, 2),
        median_shape=(64, 96, 96), patch_size=patch, batch_size=2, batch_dice=True,
        fingerprint="peers",
        network=NetworkPlan(features, ((1,) * d,) + ((2,) * d,) * (n - 1), ((3,) * d,) * n),
    )  # fmt: skip


def prepare(folder: Path, dims: str, classes: int, shape: Sequence[int]) -> None:
    """Random weights as nnU-Net's model folder, as a state dict and converted; a seeded image."""
    import shutil

    import torch

    from hinterland.export.nnunet import export_nnunet
    from hinterland.inference.backends.graph import Answer, write_onnx
    from hinterland.inference.backends.registry import backend_named
    from hinterland.networks import create

    plan = make_plan(dims)
    shutil.rmtree(folder / "model", ignore_errors=True)
    weights = create("unet", plan, classes, True).state_dict()
    labels = {"background": 0} | {f"class-{i}": i for i in range(1, classes)}
    export_nnunet(weights, "unet", plan, labels, folder / "model", mirror=tuple(range(plan.dims)))
    torch.save(weights, folder / "weights.pt")
    network = create("unet", plan, classes, True)
    network.load_state_dict(weights)
    answer = Answer(network, lambda n, x: n(x).softmax(1)).eval()
    write_onnx(answer, plan, folder / "network.onnx", "")
    for name in ("onnxruntime", "openvino"):
        (folder / name).mkdir(exist_ok=True)
        shutil.copy(folder / "network.onnx", folder / name)
        backend_named(name).convert(folder / name / "network.onnx", folder / name)
    image = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    np.save(folder / "image.npy", image)
    (folder / "ready").touch()


def peak_mib() -> float:
    """The largest resident size of this process so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def network_of(folder: Path, dims: str, classes: int) -> Any:
    """The network with the cell's weights."""
    import torch

    from hinterland.networks import create

    network = create("unet", make_plan(dims), classes, True)
    network.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    return network.eval().requires_grad_(False)


def ours(side: str, folder: Path, mirror: bool, dims: str, classes: int) -> Any:
    """What `hinterland predict` makes of an image."""
    import hinterland.training.runs.run  # noqa: F401 - what `predict` loads
    from hinterland.data.preprocessing.geometry import Geometry
    from hinterland.inference.backends.registry import Settings, backend_named
    from hinterland.inference.volumes import Predictor, WindowOptions
    from hinterland.labels import LabelTree
    from hinterland.networks.in_parts import softmax_in_parts
    from hinterland.training.config import make_config
    from hinterland.training.device import arrange, window_batch

    plan = make_plan(dims)
    leaves = LabelTree({f"class-{i}": {} for i in range(classes)}).leaves
    batch = window_batch(make_config({}), plan.patch_size, "cpu")
    options = WindowOptions(mirror=tuple(range(plan.dims)) if mirror else (), batch=batch)
    if side == "torch":
        network = arrange(network_of(folder, dims, classes), plan.dims, "cpu")
        predictor = Predictor(
            lambda x: network(x).float().softmax(1), plan, leaves, options,
            lambda x, then: softmax_in_parts(network, x, then),  # type: ignore[arg-type]
        )  # fmt: skip
    else:
        backend = backend_named(side)
        compiled = backend.compile(folder / side / backend.file, Settings(plan, batch))
        predictor = Predictor(compiled, plan, leaves, options)

    def predict(image: np.ndarray) -> np.ndarray:
        shape = image.shape[1:]
        same = Geometry(shape, (0, 1, 2), (0, 0, 0), shape, (1.0,) * 3, (1.0,) * 3)  # type: ignore[arg-type]
        return predictor.labels(image, same, leaves)

    return predict


def monai(folder: Path, dims: str, classes: int) -> Any:
    """MONAI's sliding window around the same network."""
    import torch
    from monai.inferers import SliceInferer, sliding_window_inference

    network = network_of(folder, dims, classes)
    patch = PLANS[dims]["patch"]

    def predict(image: np.ndarray) -> np.ndarray:
        source = torch.from_numpy(image)[None]
        with torch.inference_mode():
            if dims == "2D":
                slices = SliceInferer(patch, spatial_dim=0, overlap=0.5, mode="gaussian")
                logits = slices(source, network)
            else:
                logits = sliding_window_inference(source, patch, 1, network, overlap=0.5,
                                                  mode="gaussian")  # fmt: skip
            return logits.argmax(1)[0].to(torch.uint8).numpy()  # type: ignore[union-attr,no-any-return]

    return predict


def cells(size: str, seeds: int) -> list[Cell]:
    """2D and 3D, 5 and 15 classes; on paper scale a larger volume, too."""
    del seeds
    if size == "smoke":
        return [PeersCell(arm="smoke", dims="2D", classes=3, shape=(1, 256, 256))]  # fmt: skip
    shapes = {"2D": (6, 320, 320), "3D": (64, 96, 96)}
    if size == "paper":
        shapes = {"2D": (24, 512, 512), "3D": (128, 192, 192)}
    return [
        PeersCell(arm=f"{dims}, {classes} classes{', mirroring' if mirror else ''}", dims=dims,
                  classes=classes, shape=shape, mirror=mirror)
        for mirror in (False, True)
        for dims, shape in shapes.items()
        for classes in (5, 15)
    ]  # fmt: skip


def page(size: str, all_cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """A row a side."""
    lines = [
        "| image | mirroring | side | seconds | times nnU-Net | peak MiB (before) "
        "| share of nnU-Net's memory | other labels |",
        "|" + " --- |" * 8,
    ]
    titles = {"nnunet": "nnU-Net", "monai": "MONAI", **OURS}
    for cell in all_cells:
        assert isinstance(cell, PeersCell)
        measured = results.get(cell.name, {}).get("measured")
        image = f"{cell.arm}, {' x '.join(map(str, cell.shape))}"
        if measured is None:
            lines.append(f"| {image} |" + " not run |" * 7)
            continue
        peer = measured.get("nnunet")
        for side, found in measured.items():
            speed = share = ""
            if peer:
                speed = f"{peer['cpu_seconds'] / found['cpu_seconds']:.2f}"
                share = f"{found['peak_mib'] / peer['peak_mib']:.2f}"
            lines.append(
                f"| {image} | {'yes' if cell.mirror else 'no'} | {titles[side]} "
                f"| {found['cpu_seconds']:.1f} | {speed} "
                f"| {found['peak_mib']:.0f} ({found['before_mib']:.0f}) | {share} "
                f"| {found['other_labels']:.1e} |"
            )
    return "\n".join(lines)


def main(side: str, where: str, mirror: str, out: str, dims: str, classes: str) -> None:
    """One side, in a process of its own."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    folder = Path(where)
    predict = (
        monai(folder, dims, int(classes)) if side == "monai"
        else ours(side, folder, mirror == "1", dims, int(classes))
    )  # fmt: skip
    image = np.load(folder / "image.npy")
    before, wall, cpu = peak_mib(), time.perf_counter(), time.process_time()
    labels = predict(image)
    content = {
        "cpu_seconds": time.process_time() - cpu,
        "seconds": time.perf_counter() - wall,
        "before_mib": before,
        "peak_mib": peak_mib(),
    }
    np.save(Path(out).with_suffix(".npy"), labels)
    Path(out).write_text(json.dumps(content))


if __name__ == "__main__":
    main(*sys.argv[1:])
