"""Does sub-division pay at every budget? Binary, leaves, leaves + target over steps."""

from __future__ import annotations

from benchmarks.backsplit import ARMS, FAST
from benchmarks.cell import Cell, TrainCell
from benchmarks.tables import Table

TITLE = "Budgets: does asking the target question too pay at every budget?"
TEXT = """
COVID-19 CT, five folds by patient, out-of-fold infection Dice of the last checkpoint. The claim
under test: with few steps plain BackSplit spends itself on the easy organ first, while
`leaves + target` gains at every budget.
"""
BUDGETS = {"smoke": (4,), "cpu": (100, 1000), "paper": (25_000, 250_000)}
NETWORKS = ("unet", "resenc-m")


def cells(size: str, seeds: int) -> list[Cell]:
    """Budgets with the U-Net, then the smaller ones with the residual U-Net."""
    result: list[Cell] = []
    for network in NETWORKS:
        for steps in BUDGETS[size] if network == "unet" else BUDGETS[size][:1]:
            for seed in range(seeds):
                for arm, (method, on) in list(ARMS.items())[:3]:
                    result += [
                        TrainCell(
                            arm=arm, seed=seed, group=f"{network} {steps}", fold=str(fold),
                            dataset="Dataset115_COVID19CT", labels="covid19ct.yaml", dims=2,
                            memory=2.0, method=method, on=on,
                            settings=_settings(size, network, steps),
                        )
                        for fold in range(5)
                    ]  # fmt: skip
    return result


def _settings(size: str, network: str, steps: int) -> dict:
    if size == "paper":
        return {"steps": steps, "network": network}
    return {
        "steps": steps,
        "network": network,
        "network_options": {"features": [8, 64]},
        "batch_size": 4,
        "patch_size": [128, 128],
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
