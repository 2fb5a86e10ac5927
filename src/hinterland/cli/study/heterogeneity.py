"""`hinterland study heterogeneity`: what a binary label loses in 2D and in 3D."""

from __future__ import annotations

from typing import Annotated

import typer

from hinterland.cli.options import (
    DatasetArgument,
    JsonOption,
    LabelsOption,
    MemoryOption,
    OverwriteOption,
    QueueOption,
    SetOption,
    StudyOutOption,
    held_out_fold,
)
from hinterland.cli.screen import Screen, guarded


@guarded
def study_heterogeneity(
    dataset: DatasetArgument,
    out: StudyOutOption,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Runs in 2D and in 3D.")] = 1,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Of each run.")] = 10_000,
    fold: Annotated[str, typer.Option("--fold", metavar="K|fixed")] = "fixed",
    voxels: Annotated[int, typer.Option("--voxels", min=1, help="Of each test case.")] = 2000,
    labels: LabelsOption = None,
    memory: MemoryOption = 8.0,
    set_: SetOption = None,
    queue: QueueOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train on every leaf in 2D and in 3D, and measure what asking for the target alone loses.

    Writes DIR/gradients/ (figure and tables), DIR/summary.json and DIR/runs/. An interrupted study
    goes on where it was.
    """
    from hinterland.data.dataset.read import read_dataset
    from hinterland.studies.heterogeneity import Heterogeneity, run_heterogeneity
    from hinterland.training.config import apply_overrides

    screen = Screen(as_json)
    where = held_out_fold(fold)
    asked = Heterogeneity(
        seeds, steps, where, apply_overrides({}, set_ or []), memory, voxels, str(labels or "")
    )
    with screen.progress("heterogeneity") as tick:
        found = run_heterogeneity(
            read_dataset(dataset, labels), asked, out, report=tick, stage=tick.stage,
            overwrite=overwrite, queue=queue,
        )  # fmt: skip
    for name, one in found["runs"].items():
        cosine = "" if one["cosine"] is None else f"; cosine of gradients {one['cosine']:+.2f}"
        screen.say(f"{name}: {one['lost']:.1%} of the information lost{cosine}")
    if found["difference"] is not None:
        span = "" if found["low"] is None else f" [{found['low']:+.1%}, {found['high']:+.1%}]"
        screen.say(f"3D minus 2D: {found['difference']:+.1%}{span}")
    screen.say(f"figure: {found['figure']}")
    screen.result(found)
