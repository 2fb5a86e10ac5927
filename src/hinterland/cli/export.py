"""`hinterland export`: a trained model for other software."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hinterland.cli.from_outside import from_outside
from hinterland.cli.options import (
    CheckpointOption,
    JsonOption,
    OverwriteOption,
    RunArgument,
    refuse_unknown_words,
)
from hinterland.cli.screen import Screen, guarded


@guarded
def export(
    run: RunArgument,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder (nnunet, monai) or file (onnx) to make.")
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="NAME",
            help="For which software: nnunet, onnx, monai, or what another package registers."
            + from_outside("exporters"),
        ),
    ],
    checkpoint: CheckpointOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a model that runs without Hinterland.

    nnunet: a folder for nnUNetv2_predict_from_modelfolder. onnx: the network with a softmax, plan
    and labels in its metadata. monai: a bundle with its preprocessing. Each with a model_card.md:
    data, labels, figures with intervals, protocol, licences, limits.
    """
    from hinterland.export.export_run import export_run
    from hinterland.training.runs.run import Run

    refuse_unknown_words(checkpoint, None)
    screen = Screen(as_json)
    screen.note(f"exporting to {to}")
    labels = export_run(Run(run), out, to, checkpoint=checkpoint, overwrite=overwrite)  # type: ignore[arg-type]
    screen.say(f"{out}: " + ", ".join(f"{value} {name}" for name, value in labels.items()))
    screen.result({"out": str(out), "to": to, "labels": labels})
