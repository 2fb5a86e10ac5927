"""Seconds and peak memory of prediction with a real network, beside nnU-Net and MONAI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.cell import ROOT, Cell
from benchmarks.peers.prediction_sides import make_plan

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
in the cache, as it is from the second call on. int8 is calibrated on noise here, as the image is
noise: its Dice on real data is in "Backends", below.

**Like for like** are sides with the same mirroring: "no mirroring" with "no mirroring", "mirroring"
with "mirroring". **By default** nnU-Net mirrors over all axes (4 passes a tile in 2D, 8 in 3D), as
we do after training and in `predict`; MONAI's sliding window knows no mirroring. "times nnU-Net"
is nnU-Net's seconds over the side's with the same mirroring, and the memory's share is of nnU-Net's
with the same mirroring. "other labels" is the share of voxels whose label differs from torch's with
the same mirroring (weights are random, so that many voxels are near a tie, and nnU-Net rounds sums
to float16).
"""
OURS = {"torch": "Hinterland, torch", "onnxruntime": "Hinterland, onnxruntime",
        "openvino": "Hinterland, openvino",
        "openvino-int8": "Hinterland, openvino-int8"}  # fmt: skip
CALIBRATION = 8  # tiles
SIDES = ("nnunet", "monai", *OURS)


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
            module = "benchmarks.peers.prediction_sides"
            command = [sys.executable, "-m", module, *map(str, arguments)]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)


def prepare(folder: Path, dims: str, classes: int, shape: Sequence[int]) -> None:
    """Random weights as nnU-Net's model folder, as a state dict and converted; a seeded image."""
    import shutil

    import torch

    from hinterland.export.nnunet import export_nnunet
    from hinterland.inference.backends.graph import Answer, write_onnx
    from hinterland.inference.backends.registry import IR, backend_named
    from hinterland.networks import create
    from hinterland.training.runs.quantise import write_int8

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
    (folder / "openvino-int8").mkdir(exist_ok=True)
    tiles = np.random.default_rng(1).normal(size=(CALIBRATION, 1, 1, *plan.patch_size))
    write_int8(folder / "openvino" / IR, list(tiles.astype(np.float32)),
               folder / "openvino-int8" / IR)  # fmt: skip
    image = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    np.save(folder / "image.npy", image)
    (folder / "ready").touch()


def cells(size: str, seeds: int) -> list[Cell]:
    """2D and 3D, 5 and 15 classes, and one large volume; on paper scale all are larger."""
    del seeds
    if size == "smoke":
        return [PeersCell(arm="smoke", dims="2D", classes=3, shape=(1, 256, 256))]  # fmt: skip
    shapes = {"2D": (6, 320, 320), "3D": (64, 96, 96)}
    if size == "paper":
        shapes = {"2D": (24, 512, 512), "3D": (128, 192, 192)}
    large = PeersCell(arm="3D, 15 classes, large", dims="3D", classes=15, shape=(256, 256, 256))
    return [
        PeersCell(arm=f"{dims}, {classes} classes{', mirroring' if mirror else ''}", dims=dims,
                  classes=classes, shape=shape, mirror=mirror)
        for mirror in (False, True)
        for dims, shape in shapes.items()
        for classes in (5, 15)
    ] + [large]  # fmt: skip


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
