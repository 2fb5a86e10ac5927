"""`hinterland plan`: patch, spacing, network and cost, before any training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hinterland.cli.options import (
    DatasetArgument,
    DimsOption,
    JsonOption,
    LabelsOption,
    MemoryOption,
    OverwriteOption,
    PlannerOption,
    plan_for,
    plan_options,
)
from hinterland.cli.screen import Screen, guarded

if TYPE_CHECKING:
    from hinterland.data.planning.plan import PlanCost
    from hinterland.types import Plan


@guarded
def plan(
    dataset: DatasetArgument,
    out: Annotated[Path, typer.Option("--out", help="File the plan is written to.")] = Path(
        "plan.json"
    ),
    labels: LabelsOption = None,
    dims: DimsOption = None,
    memory: MemoryOption = 8.0,
    planner: PlannerOption = "hinterland",
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Plan spacing, patch, batch and network by nnU-Net's rules, and write the plan.

    `hinterland train --plan FILE` trains by it; without a file, train plans by the same rules.
    """
    from hinterland.data.dataset.read import read_dataset
    from hinterland.data.io.files import write_text
    from hinterland.data.planning.plan import plan_cost
    from hinterland.types import HinterlandError

    screen = Screen(as_json)
    if out.exists() and not overwrite:
        raise HinterlandError(f"{out} exists already. Give --overwrite, or another --out.")
    data = read_dataset(dataset, labels)
    made = plan_for(screen, data, plan_options(dims, memory, planner))
    cost = plan_cost(made, len(data.labels.tree))
    write_text(out, made.to_json())
    screen.say(
        describe(made) + f"\ncost        {cost}{over_budget(cost, memory)}\nwritten to  {out}"
    )
    screen.result(
        {
            "plan": str(out),
            "parameters": cost.parameters,
            "memory_gb": cost.memory_gb,
            "dims": made.dims,
            "patch_size": made.patch_size,
            "batch_size": made.batch_size,
            "spacing": made.spacing,
            "unit": made.unit,
            "features": made.network.features,
            "fingerprint": made.fingerprint,
        }
    )


def over_budget(cost: PlanCost, memory: float) -> str:
    """Return a warning where the batch needs more memory than was given; else the empty string.

    nnU-Net's rule rounds the batch size up, and so may go over the budget.
    """
    if cost.memory_gb <= memory:
        return ""
    return (
        f", more than the {memory:g} GB given: nnU-Net's rule rounds the batch up. For less, give "
        "--memory less, or train with --set batch_size=N"
    )


def describe(plan: Plan) -> str:
    """Describe a plan in a few lines."""
    spacing = " x ".join("as is" if s is None else f"{s:.4g}" for s in plan.spacing)
    unit = "mm" if plan.unit == "mm" else "voxels (spacing unknown)"
    network = plan.network
    strides = " ".join("x".join(map(str, s)) for s in network.strides)
    return "\n".join(
        (
            f"dimensions  {plan.dims}D",
            f"channels    {', '.join(plan.channels)} "
            f"({', '.join(n.scheme for n in plan.normalisation)})",
            f"spacing     {spacing} {unit} (z, y, x)",
            f"shape       {' x '.join(map(str, plan.median_shape))} (median, at that spacing)",
            f"patch       {' x '.join(map(str, plan.patch_size))}, batch {plan.batch_size}",
            f"network     U-Net, {len(network.features)} levels, features "
            f"{'-'.join(map(str, network.features))}, strides {strides}",
        )
    )
