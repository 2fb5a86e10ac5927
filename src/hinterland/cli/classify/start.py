"""`hinterland classify start`: from a folder of images and a table to a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hinterland.cli.options import JsonOption, OverwriteOption
from hinterland.cli.screen import Screen, guarded


@guarded
def classify_start(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Images and masks, anywhere below it.")
    ],
    labels: Annotated[
        Path,
        typer.Option(
            "--labels", metavar="FILE.csv", help="A row per image: file name, label, patient ..."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DATASET",
            help="The data set to make, of links. Default: FOLDER where it has images/, else "
            "FOLDER-dataset.",
        ),
    ] = None,
    column: Annotated[
        str | None, typer.Option("--column", help="What is asked. Default: found by its name.")
    ] = None,
    patient: Annotated[
        str | None, typer.Option("--patient", metavar="COLUMN", help="Whose an image is.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the split.")] = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a data set of a folder of images, a few masks and a table of image labels.

    Writes labels.yaml, image_labels.csv and a splits.json that is stratified and divides no
    patient; says what was understood, and the next three commands.
    """
    from hinterland.classification.dataset.start import start

    screen = Screen(as_json)
    made = start(
        folder, labels, out=out, column=column, patient=patient, seed=seed, overwrite=overwrite
    )
    screen.say(f"{made.root}: labels.yaml, image_labels.csv, splits.json")
    for line in made.understood:
        screen.say(f"- {line}")
    for number, command in enumerate(made.commands, start=1):
        screen.say(f"next {number}: {command}")
    screen.result(
        {
            "out": str(made.root),
            "understood": list(made.understood),
            "commands": list(made.commands),
        }
    )
