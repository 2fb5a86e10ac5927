"""`hinterland classify relabel`: pseudo masks for what had none, corrected by image labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hinterland.cli.classify.train import ImageLabelsOption
from hinterland.cli.options import JsonOption, OverwriteOption, RunArgument
from hinterland.cli.screen import Screen, guarded


@guarded
def classify_relabel(
    run: RunArgument,
    out: Annotated[Path, typer.Option("--out", metavar="DATASET", help="The data set to make.")],
    boosted: Annotated[
        bool,
        typer.Option(
            "--boosted",
            help="Correct by image labels: a lesion of the wrong type gets the right one, a "
            "negative image's mask is zeroed, a positive image with an empty mask is left out.",
        ),
    ] = False,
    image_labels: ImageLabelsOption = None,
    column: Annotated[
        str | None,
        typer.Option(
            "--column", help="A free column of the image labels whose values are nodes of the tree."
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Give training cases without a mask the masks that a run predicts.

    The second step of semi-supervised training; the third is `hinterland train` on the result.
    """
    from hinterland.classification.dataset.relabel import relabel
    from hinterland.training.runs.run import Run

    screen = Screen(as_json)
    with screen.progress("predicting masks") as tick:
        done = relabel(
            Run(run), out, boost=boosted, image_labels=image_labels, column=column,
            overwrite=overwrite, tick=tick,
        )  # fmt: skip
    counts = done.counts
    screen.say(
        f"{out}: {counts['pseudo'] + counts['zeroed']} pseudo masks ({counts['zeroed']} of them "
        f"corrected by an image label), {counts['left_out']} cases left out"
    )
    screen.say(f"next: hinterland train {out} --method supervised ...")
    screen.result({"out": str(out), **counts})
