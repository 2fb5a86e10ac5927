"""`hinterland compare`: tables, statistics, plots, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hinterland.cli.options import JsonOption, OverwriteOption, names
from hinterland.cli.screen import Screen, guarded


@guarded
def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Run directories, directories of folds, or metric tables; the first is the "
            "baseline. Runs that differ in seed or fold only are pooled.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the report.")],
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="COARSENING", help="The question, where there are several."),
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="Of the report.")] = None,
    allow: Annotated[
        str | None,
        typer.Option(
            "--allow",
            metavar="CODE,...",
            help="Protocol refusals to let pass (the message names them); the report says so.",
        ),
    ] = None,
    images: Annotated[
        bool, typer.Option("--images/--no-images", help="With or without the gallery of cases.")
    ] = True,
    subgroups: Annotated[
        str | None,
        typer.Option(
            "--subgroups",
            metavar="CSV:COLUMN",
            help="Show the results by a column of a table of cases. Default: the worst-off and "
            "best-off cases of the baseline.",
        ),
    ] = None,
    classified: Annotated[
        list[Path] | None,
        typer.Option(
            "--classified",
            metavar="CLASSIFIER",
            help="An evaluated classifier, to stand beside what masks say of whole images. "
            "Repeatable.",
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare runs, paired by case, and write report.html with tables and statistics beside it.

    Refuses what makes a comparison worthless, such as a patient on both sides of a split.
    """
    from hinterland.report.compare import compare as compare_runs

    screen = Screen(as_json)
    screen.note("comparing")
    made = compare_runs(
        runs, out, at, overwrite=overwrite, title=title, allow=names(allow), images=images,
        subgroups=_file_and_column(subgroups), classifiers=classified or [],
    )  # fmt: skip
    screen.say(str(made))
    screen.say(f"report: {made.report}")
    screen.result({"report": str(made.report), **made.to_dict()})


def _file_and_column(text: str | None) -> tuple[Path, str] | None:
    """Split the text "cases.csv:sex" into the file and the column."""
    from hinterland.types import HinterlandError

    if text is None:
        return None
    file, _, column = text.rpartition(":")
    if not file or not column:
        raise HinterlandError(f"--subgroups {text}: expected FILE:COLUMN, such as cases.csv:sex.")
    return Path(file), column
