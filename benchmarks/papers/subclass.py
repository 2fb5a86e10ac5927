"""Subclasses from few fine and many coarse labels: ACDC, hippocampus, MyoPS, ablations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.harness.cell import Cell, ResampledCell, TrainCell
from benchmarks.harness.tables import Table
from hinterland.methods import method_names

TITLE = "Subclasses from few fine and many coarse labels (paper 4)"
TEXT = """
All training cases carry superclass labels, the first n of them subclass
labels, too; "n scans" counts scans, so that 3 ACDC scans are both frames of one patient and one of
another. Every arm of a table has the same network, patches, batch, steps and optimiser; half of
each batch is fine-labelled, but for the bounds and "marginal, uniform", which draw every case
alike. The lower bound trains on the fine scans alone, the upper bound on all scans, all fine.
"marginal" is ours: one head over the leaves, whose summed probabilities answer at every level, so
that coarse annotations supervise inner nodes. CPS and UA-MT have that head, too (the paper gives
them two), and draw their coarse half as the unlabelled stream.
ACDC and hippocampus report the best checkpoint on validation cases, MyoPS (five folds by patient,
out-of-fold) the last.
"""
TWO_HEAD, MARGINAL, OURS = "Modified U-Net (two heads)", "marginal", "PC + SN + HM (paper 4)"
NO_PRIOR, PC_AND_SN = "HM + SN", "PC + SN"
WITHOUT_GRADIENT = "HM without gradient (released) + PC + SN"
PLAIN = {"pc": False, "sn": False}
ONE_HEAD = {**PLAIN, "marginal": True}
METHODS: dict[str, tuple[str, tuple[str, ...], Mapping[str, Any]]] = {
    "fine only (lower bound)": ("supervised", ("leaves",), {}),
    TWO_HEAD: ("two-head", (), {}),
    MARGINAL: ("subclass", (), {**ONE_HEAD, "hm": False}),
    OURS: ("subclass", (), {}),
    NO_PRIOR: ("subclass", (), {"pc": False}),
    "marginal + HM": ("subclass", (), {**ONE_HEAD, "hm": True}),
    "negative learning": ("negative-learning", (), {}),
    "marginal, uniform": ("supervised", ("top", "leaves"), {}),
    "CPS": ("cps", ("top", "leaves"), {"unlabelled": "coarse"}),
    "UA-MT": ("ua-mt", ("top", "leaves"), {"unlabelled": "coarse"}),
    "all fine (upper bound)": ("supervised", ("leaves",), {}),
}
ON_MYOPS = (TWO_HEAD, MARGINAL, OURS)
CLAIMED = (*ON_MYOPS, NO_PRIOR)
ABLATIONS: dict[str, dict[str, Any]] = {
    "HM": {**PLAIN},
    "PC": {"sn": False, "hm": False},
    "SN": {"pc": False, "hm": False},
    PC_AND_SN: {"hm": False},
    "HM + PC": {"sn": False},
    WITHOUT_GRADIENT: {"hm_gradient": False},
    "mixup only + PC + SN": {"parts": "mixup"},
    "pseudo only + PC + SN": {"parts": "pseudo"},
    "none, one shared block (released)": {**PLAIN, "hm": False, "shared": True},
    "HM + PC + SN, released tau": {"tau": "released"},
    "HM + PC + SN, 4 of 24 fine (released)": {"share": 1 / 6},
}
WHOLE, NONE = "HM + PC + SN", "none = Modified U-Net"  # arms of the table of three fine ACDC scans
PUBLISHED = {
    "ACDC 3": {"fine only (lower bound)": "48.7 / 36.2", TWO_HEAD: "82.3 / 10.6",
               "negative learning": "70.4 / 17.3", "CPS": "82.3 / 5.64", "UA-MT": "80.9 / 7.28",
               OURS: "87.3 / 2.99", "all fine (upper bound)": "91.4 / 3.02"},
    "ACDC 6": {OURS: "87.4 / 2.44"},
    "ACDC 9": {OURS: "87.6 / 2.62"},
    "ablations": {NONE: "82.3 / 10.6", WHOLE: "87.3 / 2.99",
                  "mixup only + PC + SN": "83.5 / 5.22", "pseudo only + PC + SN": "81.1 / 9.20"},
}  # fmt: skip
DATA: dict[str, dict[str, Any]] = {
    "ACDC": {"dataset": "Dataset027_ACDC", "labels": "acdc.yaml", "dims": 2, "memory": 2.0},
    "hippocampus": {"dataset": "Dataset004_Hippocampus", "labels": "hippocampus.yaml", "dims": 3,
                    "memory": 1.0},
    "MyoPS": {"dataset": "Dataset116_MyoPS", "labels": "myops.yaml", "dims": 2, "memory": 2.0},
}  # fmt: skip
_FAST = {"optimiser": "adamw", "lr": 2e-3, "weight_decay": 1e-2, "schedule": "cosine"}
_SMALL = {"network_options": {"norm": "batch", "features": [8, 64]}, "optimiser": _FAST,
          "deep_supervision": False}  # fmt: skip
CPU: dict[str, dict[str, Any]] = {
    "ACDC": {**_SMALL, "steps": 800, "batch_size": 8, "patch_size": [96, 96]},
    "hippocampus": {**_SMALL, "steps": 400, "batch_size": 2},
    "MyoPS": {**_SMALL, "steps": 400, "batch_size": 8, "patch_size": [128, 128]},
}  # fmt: skip
_SGD = {"optimiser": "sgd", "lr": 0.01, "momentum": 0.9, "nesterov": False, "weight_decay": 1e-4,
        "schedule": "linear"}  # fmt: skip
_PAPER = {"steps": 40_000, "optimiser": _SGD, "deep_supervision": False,
          "data": {"augmentation": "flips"}}  # fmt: skip
PAPER: dict[str, dict[str, Any]] = {
    "ACDC": {**_PAPER, "network": "unet-ssl4mis", "batch_size": 24, "patch_size": [256, 256]},
    "hippocampus": {**_PAPER, "batch_size": 4,
                    "network_options": {"norm": "batch", "features": [16, 256]}},
    "MyoPS": {**_PAPER, "network": "unet-ssl4mis", "batch_size": 24, "patch_size": [256, 256]},
}  # fmt: skip


def cells(size: str, seeds: int) -> list[Cell]:
    """Breadth first: three fine ACDC scans, the other data, ablations, then more fine scans."""
    result = _comparison(size, "ACDC", 3, seeds)
    result += _comparison(size, "hippocampus", 5, seeds)
    result += _ablations(size, seeds)
    for level in ("", "@LV/RV/myocardium"):
        for seed in range(1 if size != "paper" else seeds):
            for fold in range(5):
                result += [_cell(size, "MyoPS", arm, seed, 4, level, str(fold)) for arm in ON_MYOPS]
    for scans in (6, 9):
        result += _comparison(size, "ACDC", scans, seeds, bounds=False)
    return result + _comparison(size, "hippocampus", 10, seeds, bounds=False)


def _comparison(size: str, data: str, fine: int, seeds: int, bounds: bool = True) -> list[Cell]:
    """All methods with one seed, the claimed ones with all. The upper bound belongs to all n."""
    arms = [a for a in METHODS if METHODS[a][0] in method_names()]
    arms = [a for a in arms if bounds or not a.startswith("all fine")]
    chosen = [(arm, seed) for seed in range(seeds) for arm in arms if seed == 0 or arm in CLAIMED]
    return [_cell(size, data, arm, seed, fine) for arm, seed in chosen]


def _cell(
    size: str, data: str, arm: str, seed: int, fine: int, level: str = "", fold: str = "fixed"
) -> TrainCell:
    method, on, options = METHODS[arm]
    lower, upper = arm.startswith("fine only"), arm.startswith("all fine")
    scans = f"{fine}:cases"
    group = f"{data} {fine}" + (" parts" if level else "")
    return ResampledCell(
        arm=arm, seed=seed, group=group, fold=fold, method=method, on=on, options=options,
        labelled=scans if lower else None, fine=None if lower or upper else scans + level,
        settings=_settings(size, data), step=_step(size, data), **DATA[data],
    )  # fmt: skip


def _ablations(size: str, seeds: int) -> list[Cell]:
    """ACDC with three fine scans; all seeds for the gradient and for the prior behind SN."""
    chosen = [(a, 0) for a in ABLATIONS]
    chosen += [(a, seed) for seed in range(1, seeds) for a in (WITHOUT_GRADIENT, PC_AND_SN)]
    return [
        ResampledCell(
            arm=arm, seed=seed, group="ablations", method="subclass", options=ABLATIONS[arm],
            fine="3:cases", settings=_settings(size, "ACDC"), step=_step(size, "ACDC"),
            **DATA["ACDC"],
        )
        for arm, seed in chosen
    ]  # fmt: skip


def _step(size: str, data: str) -> float:
    """Every how many pixels of a slice are kept: ACDC is halved for a CPU, as for CVBM."""
    return 2.0 if data == "ACDC" and size != "paper" else 1.0


def _settings(size: str, data: str) -> dict[str, Any]:
    settings = dict(PAPER[data] if size == "paper" else CPU[data])
    if size != "paper":
        steps = 3 if size == "smoke" else settings["steps"]
        interval = steps if size == "smoke" else steps // 4
        validation = {"interval": interval, "mirror": False, "overlap": 0.25, "window_batch": 16}
        settings |= {"steps": steps, "validation": validation}
    return settings


def tables(size: str) -> list[Table]:
    """One table a data set and number of fine scans, and the ablations."""
    del size
    acdc, parts = ("RV", "MYO", "LV"), ("anterior", "posterior")
    heart = ("LV", "RV", "normal", "edema", "scar")

    def columns(question: str, classes: tuple[str, ...], each: bool = True) -> list[Any]:
        mean = [("Dice", question, classes, "dice"), ("HD95", question, classes, "hd95")]
        return mean + [(c, question, (c,), "dice") for c in classes if each]

    found = [
        Table(f"ACDC, {n} fine scans of 140 (mean of RV, MYO, LV; HD95 in voxels)", f"ACDC {n}",
              columns("target", acdc), TWO_HEAD, PUBLISHED[f"ACDC {n}"])
        for n in (3, 6, 9)
    ]  # fmt: skip
    found += [
        Table(f"Hippocampus in 3D, {n} fine cases (mean of both parts)", f"hippocampus {n}",
              columns("target", parts), TWO_HEAD)
        for n in (5, 10)
    ]  # fmt: skip
    found += [
        Table("MyoPS, three levels, 4 fine cases, others heart / rest", "MyoPS 4",
              columns("cells", heart), TWO_HEAD),
        Table("MyoPS, three levels, 4 fine cases, others LV / RV / myocardium / rest",
              "MyoPS 4 parts", columns("cells", heart), TWO_HEAD),
        Table("Ablations on ACDC, 3 fine scans", "ablations", columns("target", acdc, each=False),
              WHOLE, PUBLISHED["ablations"],
              note="Published: Dice (%) / HD95 (mm) of Table 2, where our text of it can be read.",
              shared={NONE: ("ACDC 3", TWO_HEAD), WHOLE: ("ACDC 3", OURS),
                      NO_PRIOR: ("ACDC 3", NO_PRIOR)}),
    ]  # fmt: skip
    return found
