"""`hinterland advise masks`: before labelling, are masks likely to pay?"""

from __future__ import annotations

from typing import Annotated

import typer

from hinterland.cli.options import DatasetArgument, JsonOption, LabelsOption
from hinterland.cli.screen import Screen, guarded


@guarded
def advise_masks(
    dataset: DatasetArgument,
    labels: LabelsOption = None,
    at: Annotated[
        str, typer.Option("--at", help="The question whose foreground is to be found.")
    ] = "target",
    cases: Annotated[
        int, typer.Option("--cases", min=2, help="Look at this many cases with masks.")
    ] = 200,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of what is drawn.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """From a few masks, tell whether drawing more would teach more than image labels do.

    Compares what masks and image labels separate (the two divergences of Proposition 1 of
    "segmentation for classification"), with intervals over patients. Nothing is trained but small
    classifiers; the test split is not looked at.
    """
    from hinterland.data.dataset.read import read_dataset
    from hinterland.studies.advise_masks import advise_masks as estimate

    screen = Screen(as_json)
    found = read_dataset(dataset, labels)
    with screen.progress("reading masks") as tick:
        advice = estimate(found, found.labels.question(at), most=cases, seed=seed, report=tick)
    for line in advice.findings():
        screen.say(line)
    screen.result(advice.to_dict())
