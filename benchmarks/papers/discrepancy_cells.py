"""Cells of the feature discrepancy benchmark: runs at another resolution, and step times."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.cell import Cell


@dataclass(frozen=True)
class OverheadCell(Cell):
    """Seconds of a training step without and with L_fd in every layer, in turn in one process.

    On a CPU processor time is measured, which other processes do not disturb; on a GPU wall time.
    """

    network: str = "unet"
    features: tuple[int, int] = (16, 256)
    edge: int = 128
    batch: int = 4
    repeats: int = 12

    def run(self, folder: Path) -> dict[str, Any]:
        import torch

        del folder
        device = "cuda" if torch.cuda.is_available() else "cpu"
        step = _stepper(self, device)
        clock = _cuda_clock if device == "cuda" else time.process_time
        seconds: dict[bool, list[float]] = {False: [], True: []}
        for repeat in range(self.repeats + 1):
            for with_loss in (False, True):
                started = clock()
                step(with_loss)
                if repeat:  # the first of each warms up
                    seconds[with_loss].append(clock() - started)
        ratios = [b / a for a, b in zip(seconds[False], seconds[True], strict=True)]
        return {
            "none": statistics.median(seconds[False]),
            "with": statistics.median(seconds[True]),
            "ratio": statistics.median(ratios),
            "spread": [min(ratios), max(ratios)],
            "device": device,
        }


def _cuda_clock() -> float:
    import torch

    torch.cuda.synchronize()
    return time.perf_counter()


def _stepper(cell: OverheadCell, device: str) -> Callable[[bool], None]:
    """A function that does one optimiser step, with the regulariser or without."""
    import torch

    from hinterland.labels import LabelSpec
    from hinterland.methods import BuildContext, make_method
    from hinterland.methods.regularisers.registry import build_regularisers
    from hinterland.types import Batch, NetworkPlan, Normalisation, Plan, Progress

    spec = LabelSpec.from_dict(
        {
            "tree": {"background": {}, "lesion": {}},
            "target": ["lesion"],
            "schemes": {"full": {0: "background", 1: "lesion"}},
        }
    )
    n, edge = cell.batch, cell.edge
    levels = 5
    plan = Plan(
        dims=2, channels=("grey",), normalisation=(Normalisation("zscore"),),
        spacing=(None, 1.0, 1.0), unit="voxel", transpose=(0, 1, 2), median_shape=(1, edge, edge),
        patch_size=(edge, edge), batch_size=n, batch_dice=True, fingerprint="",
        network=NetworkPlan(
            (16,) * levels, ((1, 1), *((2, 2),) * (levels - 1)), ((3, 3),) * levels
        ),
    )  # fmt: skip
    setting = BuildContext(
        plan,
        spec,
        spec.label_sets,
        cell.network,
        {"features": cell.features},
        deep_supervision=False,
    )
    method = make_method("supervised", spec)
    networks = method.build(setting).to(device)
    acting = {"discrepancy": {"warm_start": 0.0, "ramp": 0.0}}
    added = build_regularisers(acting, setting, method).to(device)["discrepancy"]
    generator = torch.Generator().manual_seed(cell.seed)
    coarse = torch.rand(n, 1, edge // 16, edge // 16, generator=generator)
    truth = torch.nn.functional.interpolate(coarse, size=(edge, edge), mode="bilinear")[:, 0] > 0.6
    batch = Batch(
        torch.randn(n, 1, edge, edge, generator=generator), truth.long() + 1,
        torch.ones(n, dtype=torch.bool), torch.zeros(n, 2, dtype=torch.int8),
        torch.zeros(n, dtype=torch.bool), ("",) * n, ("",) * n, ("",) * n, ("labelled",) * n,
    ).to(device)  # fmt: skip
    optimiser = torch.optim.AdamW([*networks.parameters(), *added.parameters()], 1e-3)
    progress = Progress("train", 50, 100)

    def step(with_loss: bool) -> None:
        losses = method.losses(networks, batch, progress)
        total = losses.total
        if with_loss:
            total = total + added(losses.views, progress).total
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        optimiser.step()

    return step
