"""`hinterland analyse features`: Dice against feature discrepancy, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hinterland.cli.options import JsonOption, OverwriteOption, RunArgument
from hinterland.cli.screen import Screen, guarded


@guarded
def analyse_features(
    run: RunArgument,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")],
    without: Annotated[
        Path | None,
        typer.Option("--without", metavar="RUN", help="A run trained without the loss, beside it."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            min=0,
            max=1,
            help="Worst-off cases have a lower Dice (without the loss). Default: lowest quarter.",
        ),
    ] = None,
    maps: Annotated[
        int, typer.Option("--maps", min=0, help="Worst-off cases with activation maps.")
    ] = 4,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say how L_fd in each layer goes with the Dice of the test cases.

    Writes DIR/features.csv (case, layer), layers.csv (correlations, learned weights), norms.csv
    (spectral norms), figures of each, activations.png and summary.json; with --without, what the
    loss has moved: shifts.csv and shifts.png.
    """
    from hinterland.studies.features.analysis import analyse_features as analyse
    from hinterland.training.runs.run import Run

    screen = Screen(as_json)
    with screen.progress("reading features") as tick:
        found = analyse(
            Run(run), out, without=Run(without) if without else None, threshold=threshold,
            maps=maps, overwrite=overwrite, tick=tick,
        )  # fmt: skip
    for row in found["layers"]:
        weight = "" if row["weight"] is None else f", weight {row['weight']:.3f}"
        r = "no correlation (too few cases)" if row["pearson"] is None else (
            f"correlation with Dice {row['pearson']:+.2f} (p = {row['pearson_p']:.2g})"
        )  # fmt: skip
        screen.say(f"{row['layer']}: {r}{weight}")
    for name, group in found["groups"].items():
        if group["dice"] is not None:
            screen.say(f"{name}: {group['cases']} cases, Dice {group['dice']:.3f}")
    for row in found["shifts"]:
        screen.say(
            f"{row['layer']}: L_fd {row['fd']:+.3f}, Dice {row['dice']:+.3f} with the loss; "
            f"{row['up_and_left']:.0%} of the cases gain Dice while their L_fd falls"
        )
    if found["norm_ratio"] is not None:
        screen.say(f"spectral norms with the loss: {found['norm_ratio']:.3f} times those without")
    screen.say(f"results: {out}")
    screen.result(found)
