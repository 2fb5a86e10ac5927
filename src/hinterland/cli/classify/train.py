"""`hinterland classify train`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hinterland.cli.options import (
    DimsOption,
    JsonOption,
    LabelsOption,
    MemoryOption,
    OverwriteOption,
    plan_for,
    plan_options,
)
from hinterland.cli.screen import Screen, guarded

if TYPE_CHECKING:
    from hinterland.classification.train import ClassifierRequest
    from hinterland.training.runs.run import Run
    from hinterland.types import Dataset

ImageLabelsOption = Annotated[
    Path | None,
    typer.Option(
        "--image-labels",
        metavar="CSV",
        help="Image labels in place of the data set's own; first column: case or patient.",
    ),
]


@guarded
def classify_train(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET|RUN",
            help="A data set, for a network on its images; or a segmentation run, for what its "
            "masks say.",
        ),
    ],
    task: Annotated[
        str,
        typer.Option(
            "--task",
            help="What is asked: a node of the label tree (is it there?), a column of the image "
            "labels (which class?), or COLUMN=VALUE (this class?). Several findings that may hold "
            "at once, with commas: lesion,class=malignant,tube.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The directory to make.")],
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            help="On images: small, squeezenet, resnet50, resnet101, seresnet50, densenet121, or "
            "y-net (multitask). Of a run: rule (default), fully-connected, pool, simple, complex, "
            "or one of those networks.",
        ),
    ] = None,
    embedding: Annotated[
        str | None,
        typer.Option(
            "--embedding",
            metavar="shallow|deep|LAYER",
            help="Summarise this feature map of the run instead of its masks.",
        ),
    ] = None,
    labels: LabelsOption = None,
    image_labels: ImageLabelsOption = None,
    fold: Annotated[
        str, typer.Option("--fold", metavar="K|fixed", help="Of a data set; a run has its own.")
    ] = "fixed",
    labelled: Annotated[
        str | None,
        typer.Option(
            "--labelled",
            metavar="N|N:cases|FILE",
            help="Learn from the first N patients only, or from those that FILE lists.",
        ),
    ] = None,
    canvas: Annotated[
        str | None,
        typer.Option(
            "--canvas",
            metavar="[Z,]Y,X",
            help="The size that all is brought to. Default: 224,224; of volumes 64,64,64 (fewer "
            "slices where there are fewer).",
        ),
    ] = None,
    balanced: Annotated[
        bool, typer.Option("--balanced", help="Draw every class (or finding) equally often.")
    ] = False,
    unit: Annotated[
        str,
        typer.Option(
            "--unit",
            metavar="auto|case|patient",
            help="What is judged. auto: patients, where scans of one patient share a label.",
        ),
    ] = "auto",
    aggregate: Annotated[
        str,
        typer.Option("--aggregate", metavar="mean|max", help="How a patient's scores become one."),
    ] = "mean",
    t: Annotated[
        float | None,
        typer.Option(
            "--t", min=0, max=1, help="Of the rule. Default: 0.5, unless another is clearly better."
        ),
    ] = None,
    tau: Annotated[
        int | None,
        typer.Option("--tau", min=1, help="Of the rule, voxels. Default: 100 of 224 x 224."),
    ] = None,
    dims: DimsOption = None,
    memory: MemoryOption = 8.0,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Default: 10,000; on masks of a run 2,000.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Default: 0.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="a.b=c", help="Any setting, as in `hinterland train`."),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train a classifier; calibrate it and choose its operating point on validation cases.

    An interrupted command goes on where it stopped when it is given again.
    """
    from hinterland.classification.train import ClassifierRequest, train_classifier
    from hinterland.training.config import apply_overrides
    from hinterland.training.runs.request import parse_fold

    screen = Screen(as_json)
    base = {k: v for k, v in (("steps", steps), ("seed", seed)) if v is not None}
    asked = ClassifierRequest(
        source=_source(source, labels, dims),
        plan=plan_options(dims, memory),
        task=task,
        by=by or ("rule" if _is_run(source) else "resnet50"),
        embedding=embedding or "",
        canvas=edges(canvas),
        fold=parse_fold(fold),
        labelled=labelled,
        image_labels=image_labels,
        balanced=balanced,
        unit=unit,
        aggregate=aggregate,
        t=t,
        tau=tau,
        settings=apply_overrides(base, set_ or []),
    )
    _check(asked)
    asked = _prepared(screen, asked)
    with screen.progress("classifier") as tick:
        run = train_classifier(asked, out, overwrite=overwrite, report=tick, stage=tick.stage)
    record = run.record
    screen.say(
        f"{out}: {record.by} for {record.task.text!r} ({', '.join(record.task.classes)}), "
        f"{len(record.split['train'])} training, {len(record.split['val'])} validation cases"
    )
    tested = bool(record.split["test"])
    screen.say(f"next: hinterland classify evaluate {out}" + ("" if tested else " --data DATASET"))
    if not tested:
        screen.say("its data set has no test split: DATASET is another one, with image labels")
    screen.result(
        {
            "out": str(out),
            "classes": list(record.task.classes),
            "cases": {part: len(names) for part, names in record.split.items()},
        }
    )


def _check(request: ClassifierRequest) -> None:
    """Refuse a fold that leaves nothing to fit thresholds on."""
    from hinterland.types import HinterlandError

    if request.fold == "all":
        raise HinterlandError(
            "--fold all leaves no validation cases, on which thresholds and calibration are "
            "fitted; give a number or `fixed`."
        )


def _is_run(source: Path) -> bool:
    return (source / "config.yaml").is_file()


def edges(text: str | None) -> tuple[int, ...] | None:
    """Parse "32,64,64" into (32, 64, 64)."""
    from hinterland.types import HinterlandError

    if text is None:
        return None
    parts = [p.strip() for p in text.replace("x", ",").split(",")]
    if not all(p.isdecimal() for p in parts):
        raise HinterlandError(f"--canvas {text}: expected whole numbers, as in 224,224.")
    return tuple(int(p) for p in parts)


def _source(source: Path, labels: Path | None, dims: int | None) -> Dataset | Run:
    """Open the segmentation run, or read the data set."""
    from hinterland.classification.record import is_classifier
    from hinterland.data.dataset.read import read_dataset
    from hinterland.training.runs.run import Run
    from hinterland.types import HinterlandError

    if not _is_run(source):
        return read_dataset(source, labels)
    if is_classifier(source):
        raise HinterlandError(
            f"{source} is a classifier; expected a data set or a segmentation run. To use it: "
            "hinterland classify predict, or classify evaluate."
        )
    if labels or dims:
        raise HinterlandError("a run has its own labels and plan: leave --labels, --dims away.")
    return Run(source)


def _prepared(screen: Screen, request: ClassifierRequest) -> ClassifierRequest:
    """Plan and preprocess a data set, with progress bars; a run has both behind it."""
    from hinterland.data.planning.plan_dataset import PlanOptions
    from hinterland.data.preprocessing.cache import prepare

    if request.run is not None:
        return request
    request.check_task()  # before the long work
    data = request.read()
    assert isinstance(request.plan, PlanOptions)
    plan = plan_for(screen, data, request.plan)
    with screen.progress("preprocessing") as tick:
        prepare(data, plan, progress=tick)
    return replace(request, plan=plan)
