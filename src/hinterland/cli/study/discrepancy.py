"""`hinterland study discrepancy`: in which layers L_fd should act, and from when on."""

from __future__ import annotations

from typing import Annotated

import typer

from hinterland.cli.options import (
    DatasetArgument,
    DimsOption,
    JsonOption,
    LabelsOption,
    MemoryOption,
    OverwriteOption,
    QueueOption,
    SetOption,
    StudyOutOption,
    WarmStartOption,
    dims_of,
    held_out_fold,
    names,
    numbers,
)
from hinterland.cli.screen import Screen, guarded


@guarded
def study_discrepancy(
    dataset: DatasetArgument,
    out: StudyOutOption,
    layers: Annotated[
        str,
        typer.Option(
            "--layers",
            metavar="NAME,...",
            help="all, encoder, decoder, or layers such as encoder.0; each alone is an arm.",
        ),
    ] = "all,encoder,decoder,bottleneck",
    starts: Annotated[
        str,
        typer.Option(
            "--starts",
            metavar="SHARE,...",
            help="Of the steps, before the loss acts in the first of --layers; 0 is at once.",
        ),
    ] = "0,0.3,0.571",
    warm_start: WarmStartOption = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1)] = 3,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Of each run.")] = 10_000,
    fold: Annotated[str, typer.Option("--fold", metavar="K|fixed")] = "fixed",
    labels: LabelsOption = None,
    dims: DimsOption = None,
    memory: MemoryOption = 8.0,
    set_: SetOption = None,
    queue: QueueOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train with L_fd in some layers, or from some step on, each beside a run without it.

    Writes DIR/table.csv, DIR/figure.png, DIR/summary.json and DIR/runs/. An interrupted study goes
    on where it was.
    """
    from hinterland.data.dataset.read import read_dataset
    from hinterland.studies.ablation import Ablation, run_ablation
    from hinterland.studies.runner import WARM_START
    from hinterland.training.config import apply_overrides

    screen = Screen(as_json)
    where = held_out_fold(fold)
    shares = numbers(starts, "--starts", "shares, such as 0,0.571")
    asked = Ablation(
        tuple(names(layers)), shares, WARM_START if warm_start is None else warm_start, seeds,
        steps, where, apply_overrides({}, set_ or []), dims_of(dims), memory, str(labels or ""),
    )  # fmt: skip
    with screen.progress("ablation") as tick:
        found = run_ablation(
            read_dataset(dataset, labels), asked, out, report=tick, stage=tick.stage,
            overwrite=overwrite, queue=queue,
        )  # fmt: skip
    for row in found["results"]:
        screen.say(_line(row))
    screen.say(f"table: {found['table']}, figure: {found['figure']}")
    screen.result(found)


def _line(row: dict[str, object]) -> str:
    text = f"L_fd in {row['layers']}, from {row['start']:.3g} on: Dice {row['dice']:.3f}"
    if row["layers"] == "none":
        return f"without, two phases at {row['start']:.3g}: Dice {row['dice']:.3f}"
    if row["difference"] is None:
        return text
    told = f"{text}, {row['difference']:+.3f} against none"
    if row["low"] is not None:
        told += f" (95 % interval {row['low']:+.3f} to {row['high']:+.3f}, p = {row['p']:.2g}"
        over = row["p_runs"]
        told += f"; over runs p = {over:.2g})" if over is not None else ")"
    return told
