"""`hinterland study synthetic`: classifier against segmentation on images of known making."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hinterland.cli.options import JsonOption, OverwriteOption, names
from hinterland.cli.screen import Screen, guarded


@guarded
def synthetic(
    sweep: Annotated[
        str,
        typer.Option(
            "--sweep",
            help="images, balance, size-bias, spurious, location, target-size, objects, "
            "annotation; several with commas; all.",
        ),
    ] = "spurious",
    size: Annotated[
        str,
        typer.Option("--size", help="cpu: 64 pixels, minutes; paper: 224 pixels, needs a GPU."),
    ] = "cpu",
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Seeds, from 0.")] = 1,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for everything it makes.")
    ] = Path("synthetic-study"),
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train a classifier and a segmentation network on equal budgets to find a navy circle.

    Writes DIR/SWEEP.csv, .png and .svg for each sweep, and DIR/summary.json. An interrupted study
    goes on where it was.
    """
    from hinterland.studies.synthetic.study import all_sweeps, run_study

    screen = Screen(as_json)
    with screen.progress("study") as tick:
        found = run_study(
            out,
            all_sweeps() if sweep == "all" else names(sweep),
            size,
            seeds,
            report=tick,
            stage=tick.stage,
            overwrite=overwrite,
        )
    for part in found["sweeps"].values():
        for line in part["findings"]:
            screen.say(line)
    screen.say(f"figures and tables: {out}")
    screen.result(found)
