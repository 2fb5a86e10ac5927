"""`hinterland export`: a trained model for other software."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hinterland.cli.options import JsonOption, OverwriteOption, RunArgument
from hinterland.cli.screen import Screen, guarded

if TYPE_CHECKING:
    from hinterland.training.run import Run

TARGETS = ("nnunet", "onnx", "monai")


@guarded
def export(
    run: RunArgument,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder (nnunet, monai) or file (onnx) to make.")
    ],
    to: Annotated[str, typer.Option("--to", metavar="|".join(TARGETS), help="For which software.")],
    checkpoint: Annotated[
        str | None,
        typer.Option("--checkpoint", help="`best` or `last`. Default: the one the run reports."),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a model that runs without Hinterland.

    nnunet: a folder for nnUNetv2_predict_from_modelfolder. onnx: the network with a softmax, plan
    and labels in its metadata. monai: a bundle with its preprocessing.
    """
    from hinterland.types import HinterlandError

    if to not in TARGETS:
        raise HinterlandError(f"--to {to}: expected one of {', '.join(TARGETS)}.")
    if checkpoint not in (None, "best", "last"):
        raise HinterlandError(f"--checkpoint {checkpoint}: expected best or last.")
    from hinterland.training.run import Run

    screen = Screen(as_json)
    screen.note(f"exporting to {to}")
    labels = _write(Run(run), out, to, checkpoint, overwrite)
    screen.say(f"{out}: " + ", ".join(f"{value} {name}" for name, value in labels.items()))
    screen.result({"out": str(out), "to": to, "labels": labels})


def _write(run: Run, out: Path, to: str, checkpoint: str | None, overwrite: bool) -> dict[str, int]:
    """Export; returns the integer that stands for each class."""
    from hinterland.labels import group_values

    record, method = run.record, run.method
    network = method.deployed(run.networks(checkpoint))  # type: ignore[arg-type]
    labels = group_values(method.cells, record.spec.default_scheme)
    mirror = tuple(range(record.plan.dims)) if record.train.validation.mirror else ()
    if to == "nnunet":
        from hinterland.export.nnunet import export_nnunet

        return export_nnunet(
            network.state_dict(),
            record.train.network,
            record.plan,
            labels,
            out,
            mirror=mirror,
            file_ending=_ending(run),
            dataset=record.dataset["name"],
            overwrite=overwrite,
        )
    if to == "onnx":
        from hinterland.export.onnx import export_onnx

        export_onnx(network, record.plan, labels, out, overwrite=overwrite)
    else:
        from hinterland.export.monai import export_monai

        ending = _ending(run)
        export_monai(network, record.plan, labels, out, file_ending=ending, overwrite=overwrite)
    return labels


def _ending(run: Run) -> str:
    """The ending of the images trained on; NIfTI where the data set is gone."""
    from hinterland.data.io.volume import file_ending
    from hinterland.types import HinterlandError

    try:
        return file_ending(run.dataset.cases[0].images[0])
    except HinterlandError:
        return ".nii.gz"
