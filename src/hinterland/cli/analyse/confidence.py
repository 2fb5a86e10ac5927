"""`hinterland analyse confidence`: how sure runs are, over training and where in an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hinterland.cli.options import JsonOption, OverwriteOption
from hinterland.cli.screen import Screen, guarded


@guarded
def analyse_confidence(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Finished runs that were tested on the same cases."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")],
    maps: Annotated[int, typer.Option("--maps", min=0, help="Cases to draw maps of.")] = 3,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of voxels and t-SNE.")] = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show confidence and entropy over training, maps of test cases, and t-SNE of features.

    Writes DIR/curves.png, maps.png and embedding.png, the tables behind them, and summary.json.
    """
    from hinterland.studies.confidence import analyse_confidence as analyse
    from hinterland.training.runs.run import Run

    screen = Screen(as_json)
    with screen.progress("reading") as tick:
        found = analyse(
            [Run(run) for run in runs], out, maps=maps, seed=seed, overwrite=overwrite, tick=tick
        )
    for name, values in found["runs"].items():
        parts = [f"{key} {value:.3f}" for key, value in values.items() if value is not None]
        screen.say(f"{name}: {', '.join(parts)}")
    screen.say(f"results: {out}")
    screen.result(found)
