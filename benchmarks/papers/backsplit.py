"""Binary, BackSplit, and both questions at once, on phantoms, COVID-19 CT and MyoPS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.harness.cell import Cell, TrainCell
from benchmarks.harness.lesions import lesion_section
from benchmarks.harness.tables import Table

# The phantoms' settings of these cells: those of the first demo, not of today's.
DEMO_STEPS = 1000
DEMO: dict[str, Any] = {
    "network_options": {"features": [8, 64]},
    "batch_size": 2,
    "batch_dice": True,
    "patch_size": [32, 32, 32],
    "data": {"foreground": 0.67},
    "optimiser": {"optimiser": "adamw", "lr": 3e-3, "weight_decay": 1e-2},
}

TITLE = "BackSplit: binary, leaves, leaves + target"
TEXT = """
The same network, patches, seed and steps in every arm; only the
partition that the loss sees differs. `target + target` is the control for the loss scale of
`leaves + target`. Phantom: lesions in one organ, look-alikes in another; the null phantom has the
same images and support labels that say nothing. COVID-19 CT and MyoPS run over all five folds by
patient, so that every training patient is tested once; the last checkpoint is reported there,
nothing is selected. Patches that must show foreground are centred on the *target's* classes in
every arm; "any class" is nnU-Net's rule, which centres on every class that the arm is trained on,
organs included (`data.foreground_on=on`): for the binary arm the two are the same.
"""
ARMS = {
    "binary": ("supervised", ("target",)),
    "leaves": ("backsplit", ()),
    "leaves + target": ("supervised", ("leaves", "target")),
    "target + target": ("supervised", ("target", "target")),
}
ANY_CLASS = ", any class"
"""What an arm's name ends in where patches are centred on all classes it is trained on."""


def sampling(arm: str) -> dict[str, Any]:
    """The settings of an arm's sampling rule; none for the default, the target's classes."""
    return {"data": {"foreground_on": "on"}} if arm.endswith(ANY_CLASS) else {}


def arm_of(arm: str) -> tuple[str, tuple[str, ...]]:
    """Method and coarsenings of an arm, whatever its sampling rule."""
    return ARMS[arm.removesuffix(ANY_CLASS)]


BOTH_RULES = ("leaves" + ANY_CLASS, "leaves + target" + ANY_CLASS)
FAST = {"optimiser": "adamw", "lr": 2e-3, "weight_decay": 1e-2, "schedule": "cosine"}
NNUNET_STEPS = 250_000


def cells(size: str, seeds: int) -> list[Cell]:
    """Phantoms, then seed by seed COVID-19 CT and MyoPS; the control and nnU-Net's rule last."""
    result: list[Cell] = []
    for seed in range(seeds):
        for dataset in ("phantom", "null-phantom"):
            result += [_cell(size, dataset, arm, seed, "fixed") for arm in list(ARMS)[:3]]
    for seed in range(seeds):
        for dataset in ("phantom", "null-phantom"):
            result += [_cell(size, dataset, arm, seed, "fixed") for arm in BOTH_RULES]
    for arms in (list(ARMS)[:3], list(ARMS)[3:], BOTH_RULES):
        for seed in range(seeds):
            for dataset in ("covid", "myops"):
                result += [_cell(size, dataset, a, seed, str(f)) for f in range(5) for a in arms]
    return result


def _cell(size: str, dataset: str, arm: str, seed: int, fold: str) -> TrainCell:
    method, on = arm_of(arm)
    steps = {"smoke": 4, "paper": NNUNET_STEPS}.get(size) or _CPU[dataset]["steps"]
    settings = {**_CPU[dataset], "steps": steps} if size != "paper" else {"steps": steps}
    if size != "paper":
        # On folds nothing is selected, so nothing need be validated before the end.
        interval = -(-steps // 4) if fold == "fixed" else steps
        settings["validation"] = {"interval": interval, "mirror": False}
    for name, values in sampling(arm).items():
        settings[name] = {**settings.get(name, {}), **values}
    folder, labels, dims, memory = _DATA[dataset]
    return TrainCell(
        arm=arm, seed=seed, group=dataset, fold=fold, dataset=folder, labels=labels,
        method=method, on=on, settings=settings, dims=dims,
        memory=memory if size != "paper" else 8.0,
    )  # fmt: skip


_DATA = {
    "phantom": ("phantom", None, 3, 2.0),
    "null-phantom": ("null-phantom", None, 3, 2.0),
    "covid": ("Dataset115_COVID19CT", "covid19ct.yaml", 2, 2.0),
    "myops": ("Dataset116_MyoPS", "myops.yaml", 2, 2.0),
}
_SMALL_2D = {
    "network_options": {"features": [8, 64]},
    "batch_size": 4,
    "patch_size": [128, 128],
    "optimiser": FAST,
}
_CPU = {
    "phantom": {"steps": DEMO_STEPS, **DEMO},
    "null-phantom": {"steps": DEMO_STEPS, **DEMO},
    "covid": {**_SMALL_2D, "steps": 300},
    "myops": {**_SMALL_2D, "steps": 300},
}


def tables(size: str) -> list[Table]:
    """One table a data set."""

    def columns(classes: tuple[str, ...]) -> list[tuple[str, str, tuple[str, ...], str]]:
        metrics = (("Dice", "dice"), ("HD95", "hd95"), ("NSD", "nsd"))
        return [(name, "target", classes, metric) for name, metric in metrics]

    paper = {
        "binary": "KiTS cyst .1787, PANTHER tumour .4784",
        "leaves": "KiTS cyst .4573, PANTHER tumour .5251",
    }
    return [
        Table(title, group, columns(()), "binary", paper if "phantom" not in group else {})
        for group, title in TITLES.items()
    ]


TITLES = {
    "phantom": "Phantom, lesion (12 test patients a seed)",
    "null-phantom": "Null phantom, lesion (12 test patients a seed)",
    "covid": "COVID-19 CT, infection (out-of-fold)",
    "myops": "MyoPS, mean of edema and scar (out-of-fold)",
}


def page(size: str, all_cells: list[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """Lesions found and false positives by structure, of each data set."""
    del size
    return "\n".join(lesion_section(t, g, all_cells, results) for g, t in TITLES.items())
