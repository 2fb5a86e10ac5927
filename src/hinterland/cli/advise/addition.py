"""`hinterland advise addition`: is it worth adding this data set?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hinterland.cli.options import (
    DimsOption,
    FixedStepsOption,
    JsonOption,
    LabelsOption,
    MemoryOption,
    OverwriteOption,
    ResizeOption,
    SetOption,
    StudyOutOption,
    dims_of,
    size_of,
)
from hinterland.cli.screen import Screen, guarded


@guarded
def advise_addition(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="The data set that matters.")],
    novel: Annotated[Path, typer.Argument(metavar="NOVEL", help="The data set to add.")],
    out: StudyOutOption,
    probes: Annotated[
        int,
        typer.Option("--probes", min=1, help="Pairs of short runs; each holds out other cases."),
    ] = 3,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Of a run on BASE alone.")] = 500,
    fixed_steps: FixedStepsOption = False,
    add: Annotated[
        int | None, typer.Option("--add", min=1, help="Novel training cases. Default: all.")
    ] = None,
    resize: ResizeOption = None,
    labels: LabelsOption = None,
    novel_labels: Annotated[
        Path | None, typer.Option("--novel-labels", help="NOVEL's; default: the same as --labels.")
    ] = None,
    dims: DimsOption = None,
    memory: MemoryOption = 8.0,
    set_: SetOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say whether adding NOVEL is likely to help on BASE, and how unsure that is.

    From divergences of grey levels and pairs of short runs without and with the novel data, tested
    on base training cases that were held out; the test cases of BASE are not touched.
    """
    from hinterland.data.dataset.read import read_dataset
    from hinterland.studies.addition.advice import Probe
    from hinterland.studies.addition.advice import advise_addition as advise
    from hinterland.training.config import apply_overrides

    screen = Screen(as_json)
    asked = Probe(
        probes, steps, add, size_of(resize), apply_overrides({}, set_ or []), dims_of(dims), memory,
        fixed_steps,
    )  # fmt: skip
    with screen.progress("advice") as tick:
        found = advise(
            read_dataset(base, labels), read_dataset(novel, novel_labels or labels), asked, out,
            report=tick, stage=tick.stage, overwrite=overwrite,
        )  # fmt: skip
    screen.say(f"{novel.name} is {found['verdict']} on {base.name}.")
    for line in found["reasons"]:
        screen.say(line)
    screen.result(found)
