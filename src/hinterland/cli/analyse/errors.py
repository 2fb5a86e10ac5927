"""`hinterland analyse errors`: are the errors near misses, or far off, in the label tree?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hinterland.cli.options import JsonOption, LabelsOption, OverwriteOption, names
from hinterland.cli.screen import Screen, guarded


@guarded
def analyse_errors(
    predictions: Annotated[
        Path, typer.Argument(metavar="PRED", help="Folder of predicted label files.")
    ],
    references: Annotated[
        Path, typer.Argument(metavar="REF", help="Folder of reference label files.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The table, .csv.")],
    labels: LabelsOption = None,
    at: Annotated[
        str, typer.Option("--at", metavar="COARSENING", help="The question that was predicted.")
    ] = "leaves",
    cases: Annotated[
        str | None, typer.Option("--cases", metavar="NAME,...", help="Only these cases.")
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Price each wrong voxel by the distance of reference and prediction in the label tree.

    0 is all right, 1 as wrong as the tree allows; and the shares of errors between siblings,
    between cousins, and with the background. Means have 95 % intervals over patients.
    """
    from hinterland.data.io.csv_text import csv_text
    from hinterland.data.io.files import write_text
    from hinterland.evaluation.statistics.bootstrap import bootstrap_ci
    from hinterland.evaluation.tree_errors import KINDS, tree_error_table
    from hinterland.types import HinterlandError

    screen = Screen(as_json)
    if out.suffix != ".csv" or (out.exists() and not overwrite):
        raise HinterlandError(
            f"--out {out}: expected a name that ends in .csv and is not taken. Choose another, or "
            "give --overwrite."
        )
    with screen.progress("pricing errors") as tick:
        table = tree_error_table(
            predictions, references, spec=labels, at=at, cases=names(cases) or None, progress=tick
        )
    write_text(out, csv_text(table))
    shown = {}
    for name in ("tree_distance", "error", *KINDS):
        found = bootstrap_ci(table[name].to_numpy(), table["group"].to_numpy())
        shown[name] = vars(found)
        screen.say(f"{name:14} {found.mean:.4f} [{found.low:.4f}, {found.high:.4f}]")
    screen.say(f"{len(table)} cases; table: {out}")
    screen.result({"out": str(out), "cases": len(table), "means": shown})
