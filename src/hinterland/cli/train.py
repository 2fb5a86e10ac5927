"""`hinterland train` and `hinterland resume`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hinterland.cli.from_outside import from_outside
from hinterland.cli.options import (
    DatasetArgument,
    DimsOption,
    JsonOption,
    LabelsOption,
    MemoryOption,
    OverwriteOption,
    PlannerOption,
    RunArgument,
    names,
    plan_options,
)
from hinterland.cli.screen import Screen, guarded
from hinterland.cli.tables import figures_table

if TYPE_CHECKING:
    from hinterland.training.config import TrainConfig
    from hinterland.training.runs.request import RunRequest
    from hinterland.training.runs.run import Run
    from hinterland.training.runs.run_training import Existing


@guarded
def train(
    dataset: DatasetArgument,
    method: Annotated[
        str, typer.Option("--method", help="supervised, backsplit, ..." + from_outside("methods"))
    ],
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="The run directory to make.")],
    labels: LabelsOption = None,
    on: Annotated[
        str | None,
        typer.Option(
            "--on",
            metavar="COARSENING,...",
            help="What the losses see: target, leaves, top, a question of labels.yaml, or "
            "expressions such as `lesion/organ`. Default: the method's own.",
        ),
    ] = None,
    labelled: Annotated[
        str | None,
        typer.Option(
            "--labelled",
            metavar="N|N%|N:cases|FILE",
            help="Only the first N patients (N:cases counts cases; FILE lists names) keep their "
            "labels; the other training cases count as unlabelled.",
        ),
    ] = None,
    fine: Annotated[
        str | None,
        typer.Option(
            "--fine",
            metavar="N|N%|N:cases|FILE",
            help="Likewise, only these keep their fine labels; the others are read as children of "
            "the tree's root. 25%@target: a quarter have support labels.",
        ),
    ] = None,
    naive: Annotated[
        bool,
        typer.Option(
            "--naive",
            help="With --fine: the others' background counts as the remainder class, not as "
            "`one of the classes below`.",
        ),
    ] = False,
    virtual: Annotated[
        int, typer.Option("--virtual", metavar="N", min=0, help="Empty classes without labels.")
    ] = 0,
    noise: Annotated[
        float | None,
        typer.Option(
            "--noise",
            metavar="DICE",
            help="Bend the support labels of the training cases until they have this Dice.",
        ),
    ] = None,
    init_from: Annotated[
        Path | None,
        typer.Option(
            "--init-from",
            metavar="RUN",
            help="Fine-tune: begin with this run's network, grown to the classes of --on; its "
            "network and plan, and a tenth of the learning rate.",
        ),
    ] = None,
    with_: Annotated[
        str | None,
        typer.Option(
            "--with",
            metavar="REGULARISER,...",
            help="Added to the method." + from_outside("regularisers"),
        ),
    ] = None,
    fold: Annotated[
        str, typer.Option("--fold", metavar="K|all|fixed", help="Which cases are held out.")
    ] = "0",
    plan: Annotated[
        Path | None, typer.Option("--plan", help="A plan.json of `hinterland plan`.")
    ] = None,
    dims: DimsOption = None,
    memory: MemoryOption = 8.0,
    planner: PlannerOption = "hinterland",
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", help="How it is trained: fast, nnunet or paper (the default)."),
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Default: 25,000.")] = None,
    time: Annotated[
        str | None,
        typer.Option(
            "--time",
            help="Instead of --steps: 20min, 1.5h. Ends then, annealed, with all predictions made.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Default: 0.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="a.b=c",
            help="Any setting: optimiser.lr=0.001, network=resenc-m, precision=fp32, "
            "method.ce_weight=2, regularisers.discrepancy.weight=0.1. Repeatable."
            + from_outside("networks", "losses", "augmentations"),
        ),
    ] = None,
    go_on: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with RUN if it is the run of this command; done, it stays."
        ),
    ] = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train, then predict and evaluate the cases that were held out.

    With a fold number the last checkpoint is reported on that fold; with `fixed` the best one on
    the validation cases is reported on the test cases. Ctrl-C loses nothing but the steps since
    the last checkpoint: `hinterland resume RUN`.
    """
    from hinterland.data.dataset.read import read_dataset
    from hinterland.data.planning.plan_dataset import read_plan
    from hinterland.training.runs.request import RunRequest, parse_fold

    existing = what_to_do(go_on, overwrite)
    screen = Screen(as_json)
    config, options = settings(with_, steps, seed, set_, recipe, time)
    data = read_dataset(dataset, labels)
    request = RunRequest(
        data,
        method,
        tuple(names(on)),
        options,
        labels=str(labels or ""),
        fold=parse_fold(fold),
        labelled=labelled,
        fine=fine,
        naive=naive,
        noise=noise,
        virtual=virtual,
        init_from=init_from,
        plan=read_plan(plan, data) if plan else plan_options(dims, memory, planner),
        config=config,
    )
    _finished(screen, launch(screen, request, out, existing))


@guarded
def resume(run: RunArgument, as_json: JsonOption = False) -> None:
    """Go on with a run exactly where it stopped; a finished run is evaluated again."""
    from hinterland.training.runs.run_training import resume as resume_run

    screen = Screen(as_json)
    with screen.progress("training") as tick:
        done = resume_run(run, report=tick, stage=tick.stage)
    _finished(screen, done)


def what_to_do(go_on: bool, overwrite: bool) -> Existing:
    """Say what becomes of a run that is there already; refuse both options at once."""
    from hinterland.types import HinterlandError

    if go_on and overwrite:
        raise HinterlandError("--resume keeps the run that --overwrite replaces: give one of them.")
    return "replace" if overwrite else "resume" if go_on else "refuse"


def launch(screen: Screen, request: RunRequest, out: Path, existing: Existing) -> Run:
    """Train what is asked for, with its progress on the screen."""
    from hinterland.training.runs.run_training import run_or_resume

    with screen.progress("training") as tick:
        return run_or_resume(
            request, out, existing=existing, report=tick, stage=tick.stage, progress=tick
        )


def settings(
    with_: str | None,
    steps: int | None,
    seed: int | None,
    set_: list[str] | None,
    recipe: str | None = None,
    time: str | None = None,
) -> tuple[TrainConfig, dict[str, Any]]:
    """Return the configuration, and the options of the method (`--set method.x=y`)."""
    from hinterland.training.config import apply_overrides, make_config
    from hinterland.types import HinterlandError

    base: dict[str, Any] = {"regularisers": {name: {} for name in names(with_)}}
    given = {"steps": steps, "seed": seed, "recipe": recipe, "time": time}
    base |= {name: value for name, value in given.items() if value is not None}
    asked = apply_overrides(base, set_ or [])
    options = asked.pop("method", {})
    if not isinstance(options, dict):
        raise HinterlandError(f"--set method={options}: expected method.option=value.")
    return make_config(asked), options


def _finished(screen: Screen, run: Run) -> None:
    from hinterland.training.runs.shortcuts import sentence

    if screen.silent:  # only the first process has evaluated
        return
    summary = run.summary
    if summary.get("metrics"):
        screen.say(
            figures_table(
                summary["metrics"],
                f"{summary['cases']} {summary['split']} cases, {summary['reported']} checkpoint, "
                f"empty masks: {summary['empty']}",
            )
        )
    if summary.get("prediction"):
        screen.say(sentence(summary["prediction"]))
    screen.say(f"run: {run.path}")
    screen.result({"run": str(run.path), **summary})
