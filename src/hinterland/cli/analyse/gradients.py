"""`hinterland analyse gradients`: what structures beside the target tell a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hinterland.cli.options import JsonOption, OverwriteOption
from hinterland.cli.screen import Screen, guarded


@guarded
def analyse_gradients(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Finished runs that were trained on more than the target, such as one in 2D and "
            "one in 3D.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")],
    voxels: Annotated[int, typer.Option("--voxels", min=1, help="Of each test case.")] = 2000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the voxels.")] = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say what of the labels' information a binary label loses, and how alike gradients are.

    Of the network's last layer, on test cases. Writes DIR/gradients.png (gradients of structures,
    level sets of the log-likelihood), structures.csv, cases.csv and summary.json.
    """
    from hinterland.studies.gradients.analysis import analyse_gradients as analyse
    from hinterland.training.runs.run import Run

    screen = Screen(as_json)
    with screen.progress("reading features") as tick:
        found = analyse(
            [Run(run) for run in runs], out, voxels=voxels, seed=seed, overwrite=overwrite,
            tick=tick,
        )  # fmt: skip
    for name, one in found["runs"].items():
        cosine = "" if one["cosine"] is None else f"; cosine of gradients {one['cosine']:+.2f}"
        screen.say(
            f"{name} ({one['dims']}D, {one['cases']} cases): {one['lost']:.1%} of the information "
            f"is lost by asking for the target alone [{one['low']:.1%}, {one['high']:.1%}]{cosine}"
        )
        for structure, share in one["added"].items():
            screen.say(f"  {structure}: splitting it off adds {share:.1%}")
    screen.say(f"results: {out}")
    screen.result(found)
