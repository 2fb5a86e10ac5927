"""`hinterland classify compare`: is one classifier better than another?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hinterland.cli.options import JsonOption, OverwriteOption
from hinterland.cli.screen import Screen, guarded
from hinterland.cli.tables import plain_table


@guarded
def classify_compare(
    first: Annotated[Path, typer.Argument(metavar="CLASSIFIER_A", help="The baseline, evaluated.")],
    second: Annotated[Path, typer.Argument(metavar="CLASSIFIER_B", help="The other, evaluated.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.csv", help="Write the table here, too.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the bootstrap.")] = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare two classifiers on the same test cases, paired.

    DeLong's test of the AUROC, and a paired bootstrap over patients for balanced accuracy at the
    operating points. Both need `classify evaluate` first, on the same data.
    """
    from hinterland.classification.evaluation.compare import compare_classifiers
    from hinterland.data.io.csv_text import csv_text
    from hinterland.data.io.files import write_text
    from hinterland.types import HinterlandError

    screen = Screen(as_json)
    if out is not None and out.exists() and not overwrite:
        raise HinterlandError(f"{out} exists already. Give --overwrite, or another --out.")
    table = compare_classifiers(first, second, seed=seed)
    if out is not None:
        write_text(out, csv_text(table))
    if not screen.machine:
        screen.say(plain_table(table, f"{second} against {first}"))
    screen.result({"first": str(first), "second": str(second), "rows": table.to_dict("records")})
