"""`hinterland demo`: the main job, end to end, on phantoms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hinterland.cli.options import JsonOption, OverwriteOption, names
from hinterland.cli.screen import Screen, guarded


@guarded
def demo(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for everything it makes.")
    ] = Path("hinterland-demo"),
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of phantoms and training.")] = 0,
    null: Annotated[
        bool,
        typer.Option("--null", help="Null phantoms: support labels that say nothing of the image."),
    ] = False,
    arms: Annotated[
        str,
        typer.Option("--arms", help="binary, backsplit, both (leaves + target); first = baseline."),
    ] = "binary,backsplit,both",
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Training steps of each arm.")
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make phantoms, train binary and BackSplit for the same steps, evaluate, compare.

    Writes DIR/report.html and DIR/summary.json, and prints what it finds, whatever that is. An
    interrupted demo goes on where it was.
    """
    from hinterland.studies.demo import STEPS, run_demo

    screen = Screen(as_json)
    with screen.progress("demo") as tick:
        found = run_demo(
            out,
            seed=seed,
            kind="null" if null else "informative",
            arms=tuple(names(arms)),
            steps=steps or STEPS,
            report=tick,
            stage=tick.stage,
            overwrite=overwrite,
        )
    screen.say(found["table"])
    for line in found["findings"]:
        screen.say(line)
    screen.say(f"report: {out / 'report.html'}")
    screen.result(found)
