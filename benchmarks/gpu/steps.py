"""Seconds a training step of each way to feed a GPU and to compute on it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.gpu.peer import nnunet_python, time_nnunet
from hinterland.data.dataset.read import read_dataset
from hinterland.data.planning.plan_dataset import PlanOptions, plan_dataset
from hinterland.phantoms.dataset import make_phantoms
from hinterland.training.config import make_config
from hinterland.training.runs.request import RunRequest
from hinterland.training.runs.run import Run
from hinterland.training.runs.run_training import run_or_resume
from hinterland.types import Plan

SHAPES: Mapping[str, Mapping[str, Any]] = {
    "2D 112^2 b8 16-256": {"batch_size": 8, "patch_size": [112, 112],
                           "network_options": {"features": [16, 256]}},
    "2D 256^2 b24 32-512": {"batch_size": 24, "patch_size": [256, 256],
                            "network_options": {"features": [32, 512]}},
    "3D 64x96x96 b2 32-320": {"batch_size": 2, "patch_size": [64, 96, 96],
                              "network_options": {"features": [32, 320]}},
}  # fmt: skip
TINY: Mapping[str, Mapping[str, Any]] = {
    "2D tiny": {"batch_size": 2, "patch_size": [32, 32], "network_options": {"features": [4, 8]}}
}
GRAPHS, PEER = "compiled, CUDA graphs", "nnU-Net, no data to make"
WAYS: Mapping[str, Mapping[str, Any]] = {
    "made on the CPU": {"data": {"device": "cpu"}},
    "made on the device": {},
    "channels last": {"channels_last": True},
    "compiled": {"compile": True},
    GRAPHS: {"compile": "graphs"},
}
"""Data are made on the device, if nothing else is said."""
STEPS, WARM = 60, 20


def run_steps(tiny: bool) -> dict[str, Any]:
    """Time each shape by each way, in runs of their own on phantoms."""
    rows, failed = [], 0
    with TemporaryDirectory() as folder:
        for name, shape in (TINY if tiny else SHAPES).items():
            dims, size = len(shape["patch_size"]), max(shape["patch_size"])
            data = make_phantoms(
                Path(folder) / f"{dims}-{size}",
                (8, 2, 2),
                dims=dims,
                size=size,
                overwrite=True,  # type: ignore[arg-type]
            )
            made: list[Path] = []
            for way, settings in _ways().items():
                out = Path(folder) / f"run-{len(rows)}"
                row: dict[str, Any] = {"shape": name, "way": way}
                try:
                    if way == PEER:
                        row |= time_nnunet(nnunet_python() or "", _plan(made[0], shape), out, STEPS)
                    else:
                        asked = {"data": {"device": "accelerator"}, **shape, **settings}
                        row |= _timed(data, out, asked, dims)
                        made.append(out)
                except Exception as error:
                    row |= {"error": f"{type(error).__name__}: {str(error)[:400]}"}
                    failed += 1
                rows.append(row)
                print(row, flush=True)
    return {"rows": rows, "failed": failed}


def _ways() -> dict[str, Mapping[str, Any]]:
    """Find what this machine can do of it."""
    ways = dict(WAYS)
    if not torch.cuda.is_available():
        del ways[GRAPHS]
    if nnunet_python():
        ways[PEER] = {}
    return ways


def _plan(run: Path, shape: Mapping[str, Any]) -> Plan:
    """Return the plan of a run, with the widths that its network has."""
    plan = Run(run).record.plan
    first, most = shape["network_options"]["features"]
    widths = tuple(min(first * 2**i, most) for i in range(len(plan.network.features)))
    return replace(plan, network=replace(plan.network, features=widths))


def _timed(data: Path, out: Path, settings: Mapping[str, Any], dims: int) -> dict[str, Any]:
    """Seconds a step after the first ones, patches a second, and the GPU's peak memory."""
    times: list[float] = []
    cuda = torch.cuda.is_available()

    def tick(*_: Any) -> None:
        if cuda and len(times) in (WARM, STEPS - 1):
            torch.cuda.synchronize()
        times.append(time.perf_counter())

    if cuda:
        torch.cuda.reset_peak_memory_stats()
    dataset = read_dataset(data)
    request = RunRequest(
        dataset, "supervised", plan=plan_dataset(dataset, PlanOptions(dims)), fold="fixed",
        config=make_config({
            "steps": STEPS, "recipe": "fast", "validation": {"interval": STEPS, "mirror": False},
            **settings,
        }),
    )  # fmt: skip
    run_or_resume(request, out, report=tick, finish=False)
    gaps = [b - a for a, b in pairwise(times[WARM:STEPS])]
    each = (times[STEPS - 1] - times[WARM]) / (STEPS - 1 - WARM)
    return {
        "seconds_a_step": round(each, 5),
        "median": round(median(gaps), 5),
        "patches_a_second": round(settings["batch_size"] / each, 1),
        "peak_mib": round(torch.cuda.max_memory_allocated() / 2**20) if cuda else None,
    }  # fmt: skip
