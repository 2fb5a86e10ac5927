"""`hinterland study supports`: what support structures do, one command a question."""

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
    dims_of,
    held_out_fold,
    names,
)
from hinterland.cli.screen import Screen, guarded


@guarded
def study_supports(
    dataset: DatasetArgument,
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY",
            help="one-by-one, cumulative, partial (naive and marginal), fine-tuning, virtual, "
            "noise, variations (batch, patch, deep supervision, networks, 2D).",
        ),
    ],
    out: StudyOutOption,
    labels: LabelsOption = None,
    supports: Annotated[
        str | None,
        typer.Option("--supports", metavar="NODE,...", help="Default: all leaves beside target."),
    ] = None,
    networks: Annotated[
        str | None,
        typer.Option(
            "--networks",
            metavar="NAME,...|all",
            help="That `variations` tries. Default: resenc-m, segresnet, swinunetr (paper 1's).",
        ),
    ] = None,
    fold: Annotated[str, typer.Option("--fold", metavar="K|fixed")] = "0",
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Runs of each arm.")] = 1,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Of a run from scratch.")] = 25_000,
    dims: DimsOption = None,
    memory: MemoryOption = 8.0,
    set_: SetOption = None,
    queue: QueueOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train the arms of a study of support structures, compare them with the binary baseline.

    Writes DIR/table.csv, DIR/figure.png, DIR/summary.json and DIR/runs/. An interrupted study goes
    on where it was.
    """
    from hinterland.data.dataset.read import read_dataset
    from hinterland.networks import network_names
    from hinterland.studies.supports.study import NETWORKS, Study, run_supports_study
    from hinterland.training.config import apply_overrides

    screen = Screen(as_json)
    where = held_out_fold(fold)
    wanted = dims_of(dims)
    tried = network_names() if networks == "all" else tuple(names(networks)) or NETWORKS
    asked = Study(
        study, tuple(names(supports)), where, seeds, steps, apply_overrides({}, set_ or []), wanted,
        memory, str(labels or ""), tried,
    )  # fmt: skip
    with screen.progress("study") as tick:
        found = run_supports_study(
            read_dataset(dataset, labels), asked, out, report=tick, stage=tick.stage,
            overwrite=overwrite, queue=queue,
        )  # fmt: skip
    for row in found["results"]:
        screen.say(_line(row))
    screen.say(f"table: {found['table']}, figure: {found['figure']}")
    screen.result(found)


def _line(row: dict[str, object]) -> str:
    text = f"{row['arm']}: Dice {row['dice']:.3f}"
    if row.get("difference") is None:
        return text
    return (
        f"{text}, {row['difference']:+.3f} against {row['baseline']} "
        f"(95 % interval {row['low']:+.3f} to {row['high']:+.3f}, p = {row['p']:.2g})"
    )
