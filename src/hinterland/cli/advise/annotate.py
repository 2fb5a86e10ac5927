"""`hinterland advise annotate`: which unlabelled cases to annotate next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hinterland.cli.options import (
    AcceleratorOption,
    CheckpointOption,
    JsonOption,
    MirrorOption,
    OverwriteOption,
    PrecisionOption,
    RunArgument,
    refuse_unknown_words,
)
from hinterland.cli.screen import Screen, guarded
from hinterland.cli.tables import plain_table

SHOWN = 20


@guarded
def advise_annotate(
    run: RunArgument,
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGES...", help="A folder of images, or image files."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="CSV", help="Write the whole table.")
    ] = None,
    maps: Annotated[
        Path | None,
        typer.Option("--maps", metavar="DIR", help="Write uncertainty and disagreement maps."),
    ] = None,
    checkpoint: CheckpointOption = None,
    mirror: MirrorOption = None,
    precision: PrecisionOption = None,
    accelerator: AcceleratorOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Rank cases by how far the predictions of an ensemble differ, the most telling first.

    cvbm, mc-net and cps make several predictions; for a method with one, its entropy per voxel of
    expected foreground ranks, and --maps writes no disagreement. Cases whose labels the run has
    trained or validated on are left out.
    """
    from hinterland.cli.predict import find_cases
    from hinterland.data.io.csv_text import csv_text
    from hinterland.data.io.files import file_stamp, image_stamps, write_text
    from hinterland.data.io.journal import journal
    from hinterland.inference.uncertainty import rank_cases, unseen
    from hinterland.training.runs.run import Run
    from hinterland.types import HinterlandError

    screen = Screen(as_json)
    if out is not None and out.exists() and not overwrite:
        raise HinterlandError(f"{out} exists already. Give --overwrite, or another --out.")
    refuse_unknown_words(checkpoint, precision)
    model = Run(run)
    given = find_cases(images, len(model.record.plan.channels))
    cases = unseen(model, given)
    if not cases:
        raise HinterlandError(
            f"{run} has trained or validated on the labels of all {len(given)} cases; there is "
            "nothing to annotate. Give images without labels."
        )
    if len(cases) < len(given):
        screen.note(f"{len(given) - len(cases)} cases left out: the run has seen their labels")
    options = model.window_options(accelerator=accelerator, precision=precision, mirror=mirror)
    asked = {
        "run": file_stamp(run / "config.yaml"),
        "checkpoint": checkpoint,
        "options": repr(options),
        "cases": image_stamps(cases),
    }
    own = journal(None if overwrite else maps, asked)
    with screen.progress("ranking") as tick, own as written:
        table = rank_cases(
            model, cases, maps=maps, which=checkpoint,  # type: ignore[arg-type]
            options=options, overwrite=overwrite, tick=tick, journal=written,
        )  # fmt: skip
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            write_text(out, csv_text(table))
    shown = table.head(SHOWN).drop(columns="group")
    screen.say(plain_table(shown, f"{len(table)} cases, the one to annotate first on top"))
    if len(table) > SHOWN:
        screen.say(f"{len(table) - SHOWN} more" + (f" in {out}" if out else "; see --out"))
    screen.result({"cases": table.to_dict("records"), "out": str(out) if out else None})
