"""`hinterland study data-addition`: does adding another data set help on the first?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hinterland.cli.options import (
    DimsOption,
    FixedStepsOption,
    JsonOption,
    LabelsOption,
    MemoryOption,
    OverwriteOption,
    QueueOption,
    ResizeOption,
    SetOption,
    StudyOutOption,
    WarmStartOption,
    dims_of,
    names,
    size_of,
)
from hinterland.cli.screen import Screen, guarded


@guarded
def study_data_addition(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="The data set that is tested on.")],
    novel: Annotated[Path, typer.Argument(metavar="NOVEL", help="The data set that is added.")],
    out: StudyOutOption,
    add: Annotated[
        str,
        typer.Option("--add", metavar="N,...", help="Novel training cases of each step: 15, 1/4."),
    ] = "0,1/4,1/2,all",
    losses: Annotated[
        str, typer.Option("--losses", help="Some of none, fd, fd+exch, con, deeps.")
    ] = "none,fd,fd+exch,con,deeps",
    seeds: Annotated[int, typer.Option("--seeds", min=1)] = 3,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Of a run on BASE alone.")] = 10_000,
    fixed_steps: FixedStepsOption = False,
    warm_start: WarmStartOption = None,
    resize: ResizeOption = None,
    mixed: Annotated[
        bool, typer.Option("--mixed", help="Half of each batch from either data set.")
    ] = False,
    labels: LabelsOption = None,
    novel_labels: Annotated[
        Path | None, typer.Option("--novel-labels", help="NOVEL's; default: the same as --labels.")
    ] = None,
    dims: DimsOption = None,
    memory: MemoryOption = 8.0,
    set_: SetOption = None,
    queue: QueueOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add NOVEL to BASE step by step, with several losses, and test on BASE.

    Runs with novel cases have as many epochs as those without, so steps grow with the cases.
    Writes DIR/table.csv (Dice, IoU and grey-level divergences of each run), DIR/figure.png and
    DIR/summary.json. An interrupted study goes on where it was.
    """
    from hinterland.data.dataset.read import read_dataset
    from hinterland.studies.addition.study import Addition, addable, amounts, run_data_addition
    from hinterland.studies.runner import WARM_START
    from hinterland.training.config import apply_overrides

    screen = Screen(as_json)
    first = read_dataset(base, labels)
    second = read_dataset(novel, novel_labels or labels)
    asked = Addition(
        amounts(names(add), addable(second)), tuple(names(losses)), seeds, steps, size_of(resize),
        mixed, apply_overrides({}, set_ or []), dims_of(dims), memory, fixed_steps=fixed_steps,
        warm_start=WARM_START if warm_start is None else warm_start,
    )  # fmt: skip
    with screen.progress("data addition") as tick:
        found = run_data_addition(
            first,
            second,
            asked,
            out,
            report=tick,
            stage=tick.stage,
            overwrite=overwrite,
            queue=queue,
        )
    for row in found["curves"]:
        spread = "" if row["sd"] is None else f" ± {row['sd']:.3f}"
        test = "" if row["p"] is None else f", {row['difference']:+.3f} to none (p {row['p']:.2g})"
        screen.say(f"{row['loss']}, {row['added']} added: Dice {row['dice']:.3f}{spread}{test}")
    screen.say(f"table: {found['table']}, figure: {found['figure']}")
    screen.result(found)
