"""`hinterland advise cases` and `advise interval`: how far a test set carries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hinterland.cli.options import JsonOption
from hinterland.cli.screen import Screen, guarded


@guarded
def advise_cases(
    tables: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[TABLE...]",
            help="One table of metrics (of `evaluate`, or a run's metrics.csv) for --width, two of "
            "the same cases for --difference.",
        ),
    ] = None,
    width: Annotated[
        float | None, typer.Option("--width", help="Of the whole 95 % interval of a mean.")
    ] = None,
    difference: Annotated[
        float | None, typer.Option("--difference", help="Between two methods, to be shown.")
    ] = None,
    sd: Annotated[
        float | None,
        typer.Option("--sd", help="Instead of tables: over cases, or of the paired differences."),
    ] = None,
    mean: Annotated[
        float | None,
        typer.Option("--mean", help="Instead of tables, with --width: the mean Dice expected."),
    ] = None,
    metric: Annotated[str, typer.Option("--metric", help="The tables' column.")] = "dice",
    power: Annotated[
        float, typer.Option("--power", help="How probable it shall be to show the difference.")
    ] = 0.8,
    as_json: JsonOption = False,
) -> None:
    """Tell how many test cases an interval of some width, or showing a difference, needs.

    The spread comes from pilot tables, from --sd, or from the mean Dice (--mean), by a curve
    fitted to many runs. Cases are patients where these have several scans.
    """
    from hinterland.evaluation.statistics.sample_size import advise_sample_size
    from hinterland.evaluation.table import read_table

    screen = Screen(as_json)
    advice = advise_sample_size(
        [read_table(path) for path in tables or ()],
        width=width, difference=difference, sd=sd, mean=mean, metric=metric, power=power,
    )  # fmt: skip
    screen.say(advice.sentence)
    screen.result({"cases": advice.cases, "sd": advice.sd, "sentence": advice.sentence})


@guarded
def advise_interval(
    mean: Annotated[float, typer.Argument(metavar="MEAN", help="A published mean Dice, 0 to 1.")],
    cases: Annotated[int, typer.Option("--cases", min=2, help="Over how many it was taken.")],
    sd: Annotated[
        float | None,
        typer.Option("--sd", help="Over cases, where it is published. Default: from the mean."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Reconstruct the 95 % interval of a mean Dice that was published without one.

    Where the paper gives no standard deviation either, a curve fitted to many runs stands in.
    """
    from hinterland.evaluation.statistics.published import published_interval

    screen = Screen(as_json)
    found = published_interval(mean, cases, sd)
    source = "as published" if found.reported else "expected at this mean"
    screen.say(
        f"{mean:.3f}, 95 % interval {found.low:.3f} to {found.high:.3f} "
        f"({cases} cases, standard deviation {found.sd:.3f}, {source})"
    )
    screen.result(vars(found))
