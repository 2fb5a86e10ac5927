"""`hinterland analyse prediction`: what mirroring and `predict --fast` change."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hinterland.cli.options import JsonOption, OverwriteOption, RunArgument
from hinterland.cli.screen import Screen, guarded


@guarded
def analyse_prediction(
    run: RunArgument,
    cases: Annotated[
        int, typer.Option("--cases", min=1, help="Validation cases to predict, at most.")
    ] = 8,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure on validation cases what mirroring and --fast change, in Dice and in seconds.

    The result goes into RUN/summary.json, where `predict --auto-mirror` reads it. No test case is
    read.
    """
    import pandas as pd

    from hinterland.cli.tables import plain_table
    from hinterland.training.runs.run import Run
    from hinterland.training.runs.shortcuts import measure_shortcuts, note_shortcuts, sentence
    from hinterland.types import HinterlandError

    screen, model = Screen(as_json), Run(run)
    if model.summary.get("prediction") and not overwrite:
        raise HinterlandError(
            f"{run} was measured already: {sentence(model.summary['prediction'])}. Give "
            "--overwrite to measure again."
        )
    with screen.progress("predicting") as tick:
        found = measure_shortcuts(model, model.dataset, most=cases, tick=tick)
    if found is None:
        raise HinterlandError(
            f"{run} has no validation case with labels to measure on. Train with --fold fixed or "
            "a fold number, and labels in the validation cases."
        )
    note_shortcuts(model, found)
    arms = ("plain", "mirrored", "fast")
    rows: list[dict[str, Any]] = [
        {"Dice": name, **{arm: found[arm]["dice"][name] for arm in arms}}
        for name in found["plain"]["dice"]
    ]
    rows.append({"Dice": "seconds a case", **{arm: found[arm]["seconds"] for arm in arms}})
    screen.say(plain_table(pd.DataFrame(rows), f"{found['at']}, {found['cases']} cases"))
    screen.say(sentence(found))
    screen.result({"run": str(run), **found})
