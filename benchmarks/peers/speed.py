"""Step time, prediction time and peak memory beside nnU-Net: same plan, network, batch, machine."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.harness.cell import ROOT, Cell
from benchmarks.peers import prediction_sides

TITLE = "Speed and memory beside nnU-Net"
TEXT = """
Training: one step (forward, Dice + cross entropy with deep supervision,
backward, clipping, SGD) of the engine inside Lightning against `nnUNetTrainer.train_step`, on the
same batch; drawing and augmenting patches is left out on both sides (both use batchgeneratorsv2).
Prediction: sliding window with mirroring of one preprocessed image against
`nnUNetPredictor.predict_logits_from_preprocessed_data`. Each side runs in a process of its own, the
sides one after the other in turns, with the same number of threads; times are medians. nnU-Net
computes in float32 on a CPU; ours is shown in bf16 (the default where the CPU has it) and float32.
The last column is the largest difference of our probabilities between the two precisions.
"""
SIZES = {"2D": (4, (1, 6, 320, 320)), "3D": (2, (1, 64, 96, 96))}
"""The batch of a training step, and the image that is predicted."""
LABELS = {"background": 0, "organ": 1, "lesion": 2}
CLASSES = len(LABELS)
SIDES = ("bf16", "nnunet", "fp32")


@dataclass(frozen=True)
class SpeedCell(Cell):
    """One task ("train" or "predict") in 2D or 3D, all sides in turns."""

    task: str = "train"
    dims: str = "2D"
    rounds: int = 2
    repeats: int = 4
    threads: int = 2

    def run(self, folder: Path) -> dict[str, Any]:
        measured: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        prepare_input(folder, self.dims, self.task)
        for turn in range(self.rounds):
            for side in SIDES:
                out = folder / f"{side}-{turn}.json"
                self._side(side, folder, out)
                measured[side].append(json.loads(out.read_text()))
        result = {}
        for side, runs in measured.items():
            # The first call of each process warms caches and memory up.
            result[side] = {
                "seconds": median(s for r in runs for s in r["seconds"][1:]),
                "peak_mib": max(r["peak_mib"] for r in runs),
                "difference": runs[0].get("difference"),
            }
        return {"measured": result}

    def _side(self, side: str, folder: Path, out: Path) -> None:
        args = [str(folder / "model"), str(folder / "input.npz"), str(out), str(self.repeats + 1),
                str(self.threads)]  # fmt: skip
        if side == "nnunet":
            python = os.environ.get("HINTERLAND_NNUNET_PYTHON")
            if not python:
                raise SystemExit("set HINTERLAND_NNUNET_PYTHON to a Python that has nnunetv2")
            script = str(Path(__file__).parent / "speed_nnunet.py")
            command = [python, script, self.task, *args]
        else:
            module = "benchmarks.peers.speed"
            command = [sys.executable, "-m", module, self.task, *args, side, self.dims]
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.threads)}
        subprocess.run(command, cwd=ROOT, env=environment, check=True)


def make_plan(dims: str) -> Any:
    """The plan that both sides follow."""
    batch, image = SIZES[dims]
    plan = prediction_sides.make_plan(dims)
    return replace(plan, median_shape=image[1:], batch_size=batch, fingerprint="speed")


def prepare_input(folder: Path, dims: str, task: str) -> None:
    """A model folder in nnU-Net's format with random weights, and a seeded input."""
    write_input(folder, make_plan(dims), None if task == "train" else SIZES[dims][1])


def write_input(folder: Path, plan: Any, image_shape: Sequence[int] | None = None) -> None:
    """A model of a plan in nnU-Net's format, and what it is timed on: a batch, or an image."""
    import shutil

    from hinterland.export.nnunet import configuration, export_nnunet
    from hinterland.networks import create

    shutil.rmtree(folder / "model", ignore_errors=True)
    network = create("unet", plan, CLASSES, True)
    export_nnunet(network.state_dict(), "unet", plan, LABELS, folder / "model",
                  mirror=tuple(range(plan.dims)))  # fmt: skip
    rng = np.random.default_rng(0)
    if image_shape is None:
        shape = (plan.batch_size, len(plan.channels), *plan.patch_size)
        label = rng.integers(0, CLASSES, (shape[0], 1, *shape[2:])).astype(np.int16)
        image = (label + rng.normal(size=shape)).astype(np.float32)
    else:
        image, label = rng.normal(size=image_shape).astype(np.float32), np.zeros(1)
    name = configuration(plan)
    np.savez(folder / "input.npz", image=image, label=label, configuration=name)


def ours(task: str, source: str, repeats: int, precision: str, dims: str) -> dict[str, Any]:
    """Our side, in a process of its own."""
    import torch

    data = np.load(source)
    if task == "train":
        seconds, difference = _train(data, repeats, precision, dims), None
    else:
        from hinterland.inference.window import sliding_window
        from hinterland.networks import create
        from hinterland.training.config import make_config
        from hinterland.training.device import window_batch

        plan = make_plan(dims)
        network = create("unet", plan, CLASSES, False).eval()
        axes = tuple(range(plan.dims))
        seconds = []
        for _ in range(repeats):
            started = time.perf_counter()
            sliding_window(
                lambda x: network(x).softmax(1), data["image"], plan.patch_size, mirror=axes,
                precision=precision, batch=window_batch(make_config({}), plan.patch_size, "cpu"),
            )  # fmt: skip
            seconds.append(time.perf_counter() - started)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        # one slice, or one tile, is enough to see what the precision costs
        part = data["image"][:, :1] if plan.dims == 2 else data["image"][:, :64, :64, :64]
        both = [
            sliding_window(lambda x: network(x).softmax(1), part, plan.patch_size, mirror=axes,
                           precision=p)
            for p in (precision, "fp32")
        ]  # fmt: skip
        difference = float(np.abs(np.exp(both[0]) - np.exp(both[1])).max())
        return {"seconds": seconds, "peak_mib": peak, "difference": difference}
    del torch
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "peak_mib": peak, "difference": difference}


def _train(data: Mapping[str, Any], repeats: int, precision: str, dims: str) -> list[float]:
    """Seconds of each engine step, inside Lightning's loop."""
    import lightning as L
    import torch
    from torch.utils.data import DataLoader

    from hinterland.labels import spec_from_dataset_json
    from hinterland.methods import BuildContext, make_method
    from hinterland.training.config import make_config
    from hinterland.training.loop.engine import Engine
    from hinterland.training.optimisation.optimisers import resolve_recipe
    from hinterland.training.optimisation.pace import StepPace
    from hinterland.types import Batch

    plan = make_plan(dims)
    spec = spec_from_dataset_json({"labels": LABELS})
    method = make_method("supervised", spec, ["leaves"])
    config = make_config({"steps": repeats, "precision": precision})
    networks = method.build(BuildContext(plan, spec, spec.label_sets))
    rows = torch.tensor(
        [spec.label_sets.label_set_ids(spec.schemes["full"])[v] for v in range(CLASSES)]
    )[torch.from_numpy(data["label"][:, 0].astype(np.int64))]  # fmt: skip
    n = len(rows)
    batch = Batch(
        image=torch.from_numpy(data["image"]), annotation=rows,
        labelled=torch.ones(n, dtype=torch.bool), image_labels=torch.zeros(n, 3, dtype=torch.int8),
        covers=torch.zeros(n, dtype=torch.bool), case=("",) * n, group=("",) * n,
        domain=("",) * n, streams=("labelled",) * n,
    )  # fmt: skip
    times = [time.perf_counter()]
    engine = Engine(
        method, networks, torch.nn.ModuleDict(), method.phases()[0], index=0,
        pace=StepPace(repeats, repeats),
        start=0, offset=0, recipe=resolve_recipe(config), config=config, optimiser_states=None,
        write=lambda *_: None, at_interval=lambda _: None,
        tick=lambda: times.append(time.perf_counter()),
    )  # fmt: skip
    trainer = L.Trainer(
        max_epochs=1, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
        precision="bf16-mixed" if precision == "bf16" else "32-true",
    )  # fmt: skip
    trainer.fit(engine, DataLoader([batch] * repeats, batch_size=None))
    return list(np.diff(times))


def cells(size: str, seeds: int) -> list[Cell]:
    """Training and prediction, 2D and 3D."""
    del seeds
    quick = size == "smoke"
    return [
        SpeedCell(arm=f"{task} {dims}", task=task, dims=dims, rounds=1 if quick else 2,
                  repeats=1 if quick or task == "predict" else 2)
        for task in ("train", "predict")
        for dims in SIZES
    ]  # fmt: skip


def page(size: str, all_cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """The table of ratios."""
    lines = [
        "| task | nnU-Net, s | ours bf16, s | ours float32, s | nnU-Net / ours bf16 "
        "| nnU-Net / ours float32 | peak MiB nnU-Net / bf16 / float32 | bf16 against float32 |",
        "|" + " --- |" * 8,
    ]
    for cell in all_cells:
        found = results.get(cell.name)
        if found is None:
            lines.append(f"| {cell.arm} |" + " not run |" * 7)
            continue
        m = found["measured"]
        times = {side: m[side]["seconds"] for side in SIDES}
        memory = " / ".join(f"{m[side]['peak_mib']:.0f}" for side in ("nnunet", "bf16", "fp32"))
        gap = m["bf16"]["difference"]
        lines.append(
            f"| {cell.arm} | {times['nnunet']:.2f} | {times['bf16']:.2f} | {times['fp32']:.2f} "
            f"| {times['nnunet'] / times['bf16']:.2f} | {times['nnunet'] / times['fp32']:.2f} "
            f"| {memory} | {'' if gap is None else f'{gap:.1e}'} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    task, _, source, out, repeats, threads, precision, dims = sys.argv[1:]
    import torch

    torch.set_num_threads(int(threads))
    Path(out).write_text(json.dumps(ours(task, source, int(repeats), precision, dims)))
