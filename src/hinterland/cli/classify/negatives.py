"""`hinterland classify negatives`: lesions painted over where every scan is positive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hinterland.cli.options import DatasetArgument, JsonOption, LabelsOption, OverwriteOption
from hinterland.cli.screen import Screen, guarded


@guarded
def classify_negatives(
    dataset: DatasetArgument,
    erase: Annotated[
        str, typer.Option("--erase", metavar="NODE", help="What is painted over: a lesion.")
    ],
    within: Annotated[
        str, typer.Option("--within", metavar="NODE", help="The healthy tissue around it.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DATASET", help="The data set to make.")],
    share: Annotated[
        float, typer.Option("--share", help="Of each split's patients that become negative.")
    ] = 0.5,
    seed: Annotated[int, typer.Option("--seed", help="Of the draws.")] = 0,
    labels: LabelsOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make negatives of a data set that has none, for studies of image labels.

    Lesions of some patients are painted over with healthy tissue of the same scan; in the others as
    much healthy tissue is painted over, so that the paint is no answer.
    """
    from hinterland.classification.dataset.negatives import with_negatives
    from hinterland.data.dataset.read import read_dataset

    screen = Screen(as_json)
    with screen.progress("painting over") as tick:
        made = with_negatives(
            read_dataset(dataset, labels), erase, within, out, share=share, seed=seed,
            overwrite=overwrite, tick=tick,
        )  # fmt: skip
    screen.say(
        f"{out}: {len(made.negative)} cases without {erase}, {len(made.positive)} with it and as "
        "much painted over elsewhere"
    )
    screen.say("the negatives are made up: fit for comparing methods, not for claims on patients")
    screen.result({"out": str(out), "negative": made.negative, "positive": made.positive})
