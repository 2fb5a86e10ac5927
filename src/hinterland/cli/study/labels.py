"""`hinterland study labels`: how good image labels get with more labelled patients."""

from __future__ import annotations

from typing import Annotated

import typer

from hinterland.cli.classify.train import ImageLabelsOption, edges
from hinterland.cli.options import (
    DatasetArgument,
    DimsOption,
    JsonOption,
    LabelsOption,
    MemoryOption,
    OverwriteOption,
    QueueOption,
    StudyOutOption,
    dims_of,
    names,
    numbers,
)
from hinterland.cli.screen import Screen, guarded


@guarded
def study_labels(
    dataset: DatasetArgument,
    out: StudyOutOption,
    task: Annotated[
        str, typer.Option("--task", help="What is asked, as in `hinterland classify train`.")
    ],
    shares: Annotated[
        str, typer.Option("--shares", help="Per cent of the labelled training patients.")
    ] = "5,10,25,50,100",
    arms: Annotated[
        str,
        typer.Option(
            "--arms",
            help="rule, semi, boosted (on masks of a segmentation run), and networks on images: "
            "resnet50, small ...",
        ),
    ] = "rule,resnet50",
    seeds: Annotated[int, typer.Option("--seeds", min=1)] = 3,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Of each training.")] = 10_000,
    on: Annotated[
        str, typer.Option("--on", help="What the segmentation runs tell apart.")
    ] = "leaves",
    canvas: Annotated[
        str | None,
        typer.Option("--canvas", metavar="[Z,]Y,X", help="Of the networks on images."),
    ] = None,
    image_labels: ImageLabelsOption = None,
    labels: LabelsOption = None,
    dims: DimsOption = None,
    memory: MemoryOption = 8.0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="a.b=c", help="Any setting of the segmentation runs."),
    ] = None,
    set_classifier: Annotated[
        list[str] | None,
        typer.Option("--set-classifier", metavar="a.b=c", help="And of the networks on images."),
    ] = None,
    queue: QueueOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Draw AUROC against the share of labelled patients: masks against image labels.

    Subsets are nested, and the same for all arms. Writes DIR/table.csv, DIR/curve.csv,
    DIR/figure.png and DIR/summary.json. An interrupted study goes on where it was.
    """
    from hinterland.data.dataset.read import read_dataset
    from hinterland.studies.learning_curve.study import LearningCurve, run_learning_curve
    from hinterland.training.config import apply_overrides

    screen = Screen(as_json)
    parts = numbers(shares, "--shares", "per cent, such as 10,100", "%")
    asked = LearningCurve(
        task, parts, tuple(names(arms)), seeds, steps, tuple(names(on)), edges(canvas),
        apply_overrides({}, set_ or []), apply_overrides({}, set_classifier or []),
        dims_of(dims), memory, str(image_labels or ""),
    )  # fmt: skip
    with screen.progress("labels") as tick:
        found = run_learning_curve(
            read_dataset(dataset, labels), asked, out, report=tick, stage=tick.stage,
            overwrite=overwrite, queue=queue,
        )  # fmt: skip
    for row in found["curve"]:
        screen.say(
            f"{row['arm']}, {row['share']:g} %: AUROC {row['auroc']:.3f} "
            f"({row['low']:.3f} to {row['high']:.3f}; {row['runs']} runs)"
        )
    for row in found["differences"]:
        screen.say(
            f"{row['arm']} less {found['against']}, {row['share']:g} %: {row['difference']:+.3f} "
            f"({row['low']:+.3f} to {row['high']:+.3f})"
        )
    screen.say(f"table: {found['table']}, figure: {found['figure']}")
    screen.result(found)
