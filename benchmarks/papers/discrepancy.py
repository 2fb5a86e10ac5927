"""Feature discrepancy (paper 2): without and with L_fd, data addition, noise, composition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.harness.cell import Cell, ResampledCell, TrainCell
from benchmarks.harness.tables import Table
from benchmarks.papers import discrepancy_page as page_parts
from benchmarks.papers.discrepancy_cells import OverheadCell
from benchmarks.papers.discrepancy_page import FD, NONE
from benchmarks.papers.discrepancy_studies import (
    AdditionCell,
    EpochAdditionCell,
    NoiseCell,
    TwoPhaseNoiseCell,
    addition_table,
    noise_table,
)
from hinterland.studies.runner import WARM_START, two_phases

TITLE = "Feature discrepancy and the data addition dilemma (paper 2)"
TEXT = """
In every arm of a table the same network, seed, patches and *total* steps. "Two phases": the last
43 % of the steps (the paper's warm start is 100 of 175 epochs) begin with the best weights of the
first, with a fresh optimiser and rate, and choose a checkpoint of their own, *in both arms*; L_fd
acts in them. "One schedule": L_fd ramps in at the end of one schedule, where 12 to 20 % of the rate
is left, and the best checkpoint may be one from before it acts, so that some pairs compare the same
weights: these tables say little, and stay here until the others are run. The weight (0.1) and ramp
(0.1) of L_fd are the defaults and were not tuned on these data sets. MoNuSeg: 24 / 6 / 14 tiles.
BUSI: the 647 images with a lesion, split as given; at CPU size resampled to half resolution. The
best checkpoint on validation cases is reported. Data addition: STU has 22 training, 6 validation
and 14 test images; BUSI lesions come in a fixed random order; batches are drawn from all cases
alike; all pictures are resized to one size, as in the paper.
"""
FAST = {"optimiser": "adamw", "lr": 2e-3, "weight_decay": 1e-2, "schedule": "cosine"}
SETS = {  # group -> data set, labels, network, pixels kept at CPU size, published
    "monuseg nucleisegnet": ("MoNuSeg", "monuseg.yaml", "nucleisegnet", 1.0,
                             {NONE: "Dice .8095 IoU .6791", FD: "Dice .8169 IoU .6865"}),
    "busi cmunet": ("BUSI", "busi-lesions.yaml", "cmunet", 2.0,
                    {NONE: "UDIAT Dice .8185 IoU .6987", FD: "UDIAT Dice +.0075 to +.024"}),
    "monuseg attention-unet": ("MoNuSeg", "monuseg.yaml", "attention-unet", 1.0,
                               {NONE: "Dice .7592 IoU .6128", FD: "Dice .7797"}),
    "busi attention-unet": ("BUSI", "busi-lesions.yaml", "attention-unet", 2.0,
                            {NONE: "UDIAT Dice .6721", FD: "UDIAT Dice .6894"}),
}  # fmt: skip
TITLES = {
    "monuseg nucleisegnet": "MoNuSeg, NucleiSegNet",
    "busi cmunet": "BUSI lesions, CMUNet",
    "monuseg attention-unet": "MoNuSeg, Attention U-Net",
    "busi attention-unet": "BUSI lesions, Attention U-Net",
}
LOSSES: dict[str, dict[str, Any]] = {
    NONE: {},
    FD: {"discrepancy": {}},
}
COMPOSED = {
    "backsplit": ("backsplit", {}),
    "backsplit + L_fd": ("backsplit", {"discrepancy": {}}),
    "binary": ("supervised", {}),
    "binary + L_fd": ("supervised", {"discrepancy": {}}),
}
CLAIMED, WIDER = ("none", "fd", "fd+exch"), ("con", "deeps")
ADDED = {"smoke": (0, 2), "cpu": (0, 15, 30, 45), "paper": (0, 15, 30, 45, 60)}
NOISE = {
    "smoke": (0.0, 0.1),
    "cpu": (0.0, 0.05, 0.10, 0.15, 0.20),
    "paper": (0.0, 0.05, 0.10, 0.15, 0.20),
}
_TRIAL = {"smoke": 4, "cpu": 250}
ONE = ", one schedule"
TWO_PHASES = ", two phases"
"""What the groups are called in which both arms have two phases; the others have one schedule."""


def cells(size: str, seeds: int) -> list[Cell]:
    """The plain comparison first, step times (seconds) after its first seed.

    Three seeds where a claim is made, one for the wider field.
    """
    result: list[Cell] = []
    for seed in range(seeds):
        for phases in (TWO_PHASES, ""):
            for group in SETS:
                result += [_single(size, group, arm, seed, phases) for arm in LOSSES]
        if seed == 0:
            result += _step_times(size)
    for seed in range(seeds):
        result += [
            _addition(size, loss, added, seed, kind)
            for kind in (EpochAdditionCell, AdditionCell)
            for loss in (CLAIMED + WIDER if seed == 0 else CLAIMED)
            for added in ADDED[size]
        ]
    for seed in range(seeds):
        result += [
            _noise(size, loss, sigma, seed, kind)
            for kind in (TwoPhaseNoiseCell, NoiseCell)
            for loss in (("none", "fd", *WIDER) if seed == 0 else ("none", "fd"))
            for sigma in NOISE[size]
        ]
    for seed in range(seeds):
        for phases in (TWO_PHASES, ""):
            for arm in list(COMPOSED)[: 4 if seed == 0 else 2]:
                result += [_composed(size, arm, seed, str(fold), phases) for fold in range(5)]
    return result


def _options(phases: str) -> dict[str, Any]:
    return two_phases(WARM_START) if phases else {}


def _single(size: str, group: str, arm: str, seed: int, phases: str) -> TrainCell:
    dataset, labels, network, step, _ = SETS[group]
    return ResampledCell(
        arm=arm, seed=seed, group=group + phases, dataset=dataset, labels=labels, dims=2,
        memory=4.0, options=_options(phases),
        settings=settings(size, network, LOSSES[arm]), step=1.0 if size == "paper" else step,
    )  # fmt: skip


def settings(size: str, network: str, losses: Mapping[str, Any]) -> dict[str, Any]:
    """Of a run: the paper's 175 epochs (counted as 100 steps each), or a short one."""
    common = {
        "network": network,
        "regularisers": dict(losses),
        "data": {"augmentation": "flips"},
    }
    if size == "paper":
        return {
            **common,
            "steps": 17_500,
            "batch_size": 8,
            "patch_size": [256, 256],
            "validation": {"mirror": False, "interval": 500, "window_batch": 8},
        }
    steps = _TRIAL[size]
    return {
        **common,
        "steps": steps,
        "batch_size": 4,
        "patch_size": [128, 128] if size == "cpu" else [64, 64],
        "network_options": {"features": [8, 128] if size == "cpu" else [4, 8]},
        "optimiser": FAST,
        "validation": {
            "mirror": False, "interval": -(-steps // 5), "overlap": 0.25, "window_batch": 8,
        },
    }  # fmt: skip


def _step_times(size: str) -> list[Cell]:
    networks = ("attention-unet", "nucleisegnet", "cmunet")
    if size == "smoke":
        return [
            OverheadCell(arm=n, group="step time", network=n, features=(4, 8), edge=32, repeats=2)
            for n in networks[:1]
        ]
    if size == "cpu":
        return [OverheadCell(arm=n, group="step time", network=n) for n in networks]
    return [
        OverheadCell(arm=n, group="step time", network=n, features=f, edge=256, batch=8, repeats=50)
        for n, f in zip(networks, ((64, 1024), (32, 512), (64, 1024)), strict=True)
    ]


def _addition(
    size: str, loss: str, added: int, seed: int, kind: type[AdditionCell]
) -> AdditionCell:
    chosen = settings(size, "cmunet", {})
    steps = {"smoke": 4, "cpu": 200, "paper": 17_500}[size]
    if size != "paper":
        chosen["validation"] = {**chosen["validation"], "interval": -(-steps // 5)}
    group = "addition" if kind is AdditionCell else "addition, epochs"
    return kind(
        arm=f"{loss} {added}", seed=seed, group=group, loss=loss, added=added, steps=steps,
        edge={"smoke": 64, "cpu": 128, "paper": 256}[size], settings=chosen,
    )  # fmt: skip


def _noise(size: str, loss: str, sigma: float, seed: int, kind: type[NoiseCell]) -> NoiseCell:
    chosen = settings(size, "nucleisegnet", {})
    steps = {"smoke": 4, "cpu": 150, "paper": 17_500}[size]
    if size != "paper":
        chosen["validation"] = {**chosen["validation"], "interval": -(-steps // 3)}
    group = "noise" if kind is NoiseCell else "noise" + TWO_PHASES
    return kind(
        arm=f"{loss} {sigma:g}", seed=seed, group=group, loss=loss, sigma=sigma, steps=steps,
        test_sigmas=tuple(s for s in NOISE[size] if s) if sigma == 0 else (), settings=chosen,
    )  # fmt: skip


def _composed(size: str, arm: str, seed: int, fold: str, phases: str) -> TrainCell:
    method, losses = COMPOSED[arm]
    chosen: dict[str, Any] = {"regularisers": losses}
    if size != "paper":
        steps = {"smoke": 4, "cpu": 300}[size]
        chosen |= {
            "steps": steps, "network_options": {"features": [8, 64]}, "batch_size": 4,
            "patch_size": [128, 128], "optimiser": FAST,
            "validation": {"interval": steps, "mirror": False},
        }  # fmt: skip
    else:
        chosen["steps"] = 250_000
    return TrainCell(
        arm=arm, seed=seed, group="covid" + phases, fold=fold, options=_options(phases),
        dataset="Dataset115_COVID19CT", labels="covid19ct.yaml", method=method,
        on=() if method == "backsplit" else ("target",), settings=chosen, dims=2,
        memory=2.0 if size != "paper" else 8.0,
    )  # fmt: skip


def tables(size: str) -> list[Table]:
    """One for each data set and network, and one for the composition with BackSplit."""
    del size
    columns = list(page_parts.COLUMNS.values())
    return [
        *(Table(f"{TITLES[g]}{phases or ONE}", g + phases, columns, NONE, SETS[g][4])
          for phases in (TWO_PHASES, "") for g in SETS),
        *(Table("L_fd with BackSplit: COVID-19 CT infection, out-of-fold, last checkpoint"
                + (phases or ONE),
                "covid" + phases, [*columns, ("HD95", "target", (), "hd95")], "backsplit")
          for phases in (TWO_PHASES, "")),
    ]  # fmt: skip


def page(size: str, cells: list[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """What is more than a table of arms."""
    del size
    return "\n".join(
        [
            page_parts.worst_and_best(
                {
                    g + phases: title + (phases or ONE)
                    for phases in (TWO_PHASES, "")
                    for g, title in TITLES.items()
                },
                cells,
                results,
            ),
            page_parts.overhead(cells, results),
            addition_table(cells, results, EpochAdditionCell),
            addition_table(cells, results),
            noise_table(cells, results, TwoPhaseNoiseCell),
            noise_table(cells, results),
        ]
    )
