"""`hinterland quantise`: a trained model in int8, if it loses no more than is allowed."""

from __future__ import annotations

from typing import Annotated

import typer

from hinterland.cli.options import (
    CheckpointOption,
    JsonOption,
    OverwriteOption,
    RunArgument,
    refuse_unknown_words,
)
from hinterland.cli.screen import Screen, guarded


@guarded
def quantise(
    run: RunArgument,
    tolerance: Annotated[
        float,
        typer.Option("--tolerance", min=0, max=1, help="Dice that any class may lose."),
    ] = 0.01,
    tiles: Annotated[
        int, typer.Option("--tiles", min=1, help="Tiles of training cases to calibrate on.")
    ] = 128,
    checkpoint: CheckpointOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write RUN/int8, for `hinterland predict --backend openvino-int8`.

    Ranges are taken from tiles of training cases. Both networks then predict the validation cases:
    the Dice of each class is shown, and nothing is written where one loses more than --tolerance.
    Whether int8 is faster depends on the processor; the seconds of a tile are shown, too.
    """
    from hinterland.training.runs.quantise import quantise as quantise_run
    from hinterland.training.runs.run import Run

    refuse_unknown_words(checkpoint, None)
    screen = Screen(as_json)
    model = Run(run)
    found = quantise_run(
        model, checkpoint, tolerance=tolerance, tiles=tiles, overwrite=overwrite,  # type: ignore[arg-type]
        stage=screen.note,
    )  # fmt: skip
    for row in found.rows():
        screen.say(row)
    full, small = found.seconds
    screen.say(
        f"{found.cases} validation cases; a tile takes {full:.3f} s in full precision and "
        f"{small:.3f} s in int8 on this machine"
    )
    if small >= full:
        screen.note("int8 is no faster here: it pays on processors with VNNI or AMX instructions")
    screen.result({"out": str(run / "int8"), "dice": {"full": found.full, "int8": found.int8},
                   "seconds_a_tile": {"full": full, "int8": small}})  # fmt: skip
