"""`hinterland classify slices`: volumes as a data set of slices or blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hinterland.cli.classify.train import ImageLabelsOption
from hinterland.cli.options import DatasetArgument, JsonOption, LabelsOption, OverwriteOption
from hinterland.cli.screen import Screen, guarded


@guarded
def classify_slices(
    dataset: DatasetArgument,
    out: Annotated[Path, typer.Option("--out", metavar="DATASET", help="The data set to make.")],
    thickness: Annotated[
        int, typer.Option("--thickness", min=1, help="Slices in a case: 1, or blocks of more.")
    ] = 1,
    labels: LabelsOption = None,
    image_labels: ImageLabelsOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make every slice (or block of slices) of every volume a case of its own.

    For questions of a slice, and of a patient by its slices. Splits divide no patient.
    """
    from hinterland.classification.dataset.cases import with_image_labels
    from hinterland.classification.dataset.slices import slice_dataset
    from hinterland.data.dataset.read import read_dataset

    screen = Screen(as_json)
    data = with_image_labels(read_dataset(dataset, labels), image_labels)
    with screen.progress("slices") as tick:
        made = slice_dataset(data, out, thickness=thickness, overwrite=overwrite, tick=tick)
    kind = "slices" if thickness == 1 else f"blocks of {thickness} slices"
    screen.say(f"{out}: {made.count} {kind} of {len(made.members)} volumes")
    screen.say(f"next: hinterland train {out} --method supervised --on leaves --fold fixed ...")
    screen.say("then: hinterland classify train RUN --task NODE [--unit patient --aggregate max]")
    screen.result({"out": str(out), "cases": made.count, "volumes": len(made.members)})
