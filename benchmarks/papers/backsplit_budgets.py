"""Does sub-division pay at every budget? Binary, leaves, leaves + target over steps."""

from __future__ import annotations

from benchmarks.harness.cell import Cell, TrainCell
from benchmarks.harness.tables import Table
from benchmarks.papers.backsplit import ARMS, BOTH_RULES, FAST, arm_of, sampling

TITLE = "Budgets: does asking the target question too pay at every budget?"
TEXT = """
COVID-19 CT, five folds by patient, out-of-fold infection Dice of the last checkpoint. The claim
under test: with few steps plain BackSplit spends itself on the easy organ first, while
`leaves + target` gains at every budget. U-Nets have 8 to 64 features and batches of 4 patches of
128x128; `unet-wide` has 16 to 128 and 8 of 160x160, as in the trials from which the claim comes.
Patches are centred on the target's classes; "any class": on all that the arm is trained on.
"""
BUDGETS = {"smoke": (4,), "cpu": (100, 1000), "paper": (25_000, 250_000)}
ARM_NAMES = tuple(ARMS)[:3]
NETWORKS = ("unet", "resenc-m")
WIDE = {"smoke": 4, "cpu": 300}


def cells(size: str, seeds: int) -> list[Cell]:
    """Budgets with the U-Net, the smaller ones with the residual U-Net, then the wide U-Net."""
    runs = [
        (network, steps, arm, fold, seed)
        for network in NETWORKS
        for steps in (BUDGETS[size] if network == "unet" else BUDGETS[size][:1])
        for seed in range(seeds)
        for arm in ARM_NAMES
        for fold in range(5)
    ]
    if size in WIDE:
        runs += [
            ("unet-wide", WIDE[size], arm, fold, seed)
            for seed in range(seeds)
            for fold in range(5)
            for arm in ARM_NAMES
        ]
    runs += [
        (network, steps, arm, fold, seed)
        for network, steps, plain, fold, seed in runs
        for arm in BOTH_RULES
        if arm.startswith(plain + ",")
    ]
    return [_cell(size, *run) for run in runs]


def _cell(size: str, network: str, steps: int, arm: str, fold: int, seed: int) -> TrainCell:
    method, on = arm_of(arm)
    return TrainCell(
        arm=arm, seed=seed, group=f"{network} {steps}", fold=str(fold),
        dataset="Dataset115_COVID19CT", labels="covid19ct.yaml", dims=2, memory=2.0,
        method=method, on=on, settings={**_settings(size, network, steps), **sampling(arm)},
    )  # fmt: skip


def _settings(size: str, network: str, steps: int) -> dict:
    if size == "paper":
        return {"steps": steps, "network": network}
    wide = network == "unet-wide"
    return {
        "steps": steps,
        "network": "unet" if wide else network,
        "network_options": {"features": [16, 128] if wide else [8, 64]},
        "batch_size": 8 if wide else 4,
        "patch_size": [160, 160] if wide else [128, 128],
        "optimiser": FAST,
        "validation": {"interval": steps, "mirror": False},
    }


def tables(size: str) -> list[Table]:
    """One table for each network and budget."""
    columns = [("Dice", "target", (), "dice"), ("NSD", "target", (), "nsd")]
    groups = list(dict.fromkeys(c.group for c in cells(size, 1)))
    return [
        Table(f"{group.split()[0]}, {group.split()[1]} steps, COVID-19 CT infection", group,
              columns, "binary")
        for group in groups
    ]  # fmt: skip
