"""`hinterland study noise`: what noise on the images costs, with several losses."""

from __future__ import annotations

from typing import Annotated

import typer

from hinterland.cli.options import (
    DatasetArgument,
    DimsOption,
    JsonOption,
    LabelsOption,
    MemoryOption,
    OverwriteOption,
    QueueOption,
    ResizeOption,
    SetOption,
    StudyOutOption,
    WarmStartOption,
    dims_of,
    names,
    numbers,
    size_of,
)
from hinterland.cli.screen import Screen, guarded


@guarded
def study_noise(
    dataset: DatasetArgument,
    out: StudyOutOption,
    sigmas: Annotated[
        str, typer.Option("--sigmas", help="Noise of training and of test images in [0, 1].")
    ] = "0.05,0.10,0.15,0.20",
    losses: Annotated[
        str, typer.Option("--losses", help="Some of none, fd, fd+exch, con, deeps.")
    ] = "none,fd,con,deeps",
    seeds: Annotated[int, typer.Option("--seeds", min=1)] = 3,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Of each run.")] = 10_000,
    all_tests: Annotated[
        bool, typer.Option("--all-tests", help="Test all runs on noise, not the clean ones alone.")
    ] = False,
    warm_start: WarmStartOption = None,
    resize: ResizeOption = None,
    labels: LabelsOption = None,
    dims: DimsOption = None,
    memory: MemoryOption = 8.0,
    set_: SetOption = None,
    queue: QueueOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train on noisy images and test on clean ones; train on clean images and test on noisy ones.

    Writes DIR/table.csv, DIR/figure.png and DIR/summary.json. An interrupted study goes on where
    it was.
    """
    from hinterland.data.dataset.read import read_dataset
    from hinterland.studies.noise import Noise, run_noise
    from hinterland.studies.runner import WARM_START
    from hinterland.training.config import apply_overrides

    screen = Screen(as_json)
    levels = numbers(sigmas, "--sigmas", "numbers, such as 0.05,0.1")
    asked = Noise(
        levels, levels, tuple(names(losses)), seeds, steps, all_tests, size_of(resize),
        apply_overrides({}, set_ or []), dims_of(dims), memory,
        warm_start=WARM_START if warm_start is None else warm_start,
    )  # fmt: skip
    with screen.progress("noise") as tick:
        found = run_noise(
            read_dataset(dataset, labels), asked, out, report=tick, stage=tick.stage,
            overwrite=overwrite, queue=queue,
        )  # fmt: skip
    for row in found["curves"]:
        screen.say(
            f"{row['loss']}, trained at {row['train_sigma']:g}, tested at {row['test_sigma']:g}: "
            f"Dice {row['dice']:.3f} ({row['dip']:+.3f} from clean)"
        )
    screen.say(f"table: {found['table']}, figure: {found['figure']}")
    screen.result(found)
