"""`hinterland distil`: one smaller student of several trained runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hinterland.cli.options import JsonOption, OverwriteOption, names
from hinterland.cli.screen import Screen, guarded
from hinterland.cli.tables import empty_table
from hinterland.cli.train import launch, settings, what_to_do

if TYPE_CHECKING:
    from rich.table import Table


@guarded
def distil(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Finished runs: folds, seeds, arms of one data set. The first gives data set, "
            "labels, plan, seed and what is labelled.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="STUDENT", help="The run directory to make.")
    ],
    on: Annotated[
        str | None,
        typer.Option(
            "--on", metavar="COARSENING,...", help="What its labels are learnt at. Default: leaves."
        ),
    ] = None,
    labelled: Annotated[
        str | None,
        typer.Option(
            "--labelled",
            metavar="N|N%|N:cases|FILE",
            help="Which training cases keep their labels. Default: the first teacher's.",
        ),
    ] = None,
    with_: Annotated[
        str | None,
        typer.Option("--with", metavar="REGULARISER,...", help="Added to the distillation."),
    ] = None,
    fold: Annotated[
        str | None,
        typer.Option(
            "--fold",
            metavar="K|all|fixed",
            help="Which cases are held out. Default: the teachers' fold; all, if they hold out "
            "different cases and there are test cases.",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", help="How it is trained: fast, nnunet or paper (the default)."),
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Default: 25,000.")] = None,
    time: Annotated[
        str | None, typer.Option("--time", help="Instead of --steps: 20min, 1.5h, all included.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Default: the first teacher's.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="a.b=c",
            help="Any setting: network_options.features=[8, 128] (default: half the first "
            "teacher's, a quarter of its weights), method.teacher_weight=2. Repeatable.",
        ),
    ] = None,
    go_on: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with STUDENT if it is the run of this command; done, it stays."
        ),
    ] = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Distil finished runs into one smaller student, and lay it beside them.

    The student learns the teachers' mean probabilities of whatever each tells apart, from
    labelled and unlabelled cases, and from the labels. It is a run like any other.
    """
    from hinterland.training.runs.distil import distil_request
    from hinterland.training.runs.request import parse_fold

    existing = what_to_do(go_on, overwrite)
    screen = Screen(as_json)
    config, options = settings(with_, steps, seed, set_, recipe, time)
    request = distil_request(
        runs,
        on=names(on),
        options=options,
        fold=None if fold is None else parse_fold(fold),
        labelled=labelled,
        config=config,
    )
    run = launch(screen, request, out, existing)
    if screen.silent:  # only the first process has evaluated
        return
    summary = run.summary
    say_beside(screen, summary.get("beside_teachers", {}))
    screen.say(f"run: {run.path}")
    screen.result({"run": str(run.path), **summary})


def say_beside(screen: Screen, found: Mapping[str, Any]) -> None:
    """Print how a student stands beside its teachers; nothing where no case could be judged."""
    if not found.get("splits"):
        return
    screen.say(_models(found["models"]))
    for split, figures in found["splits"].items():
        screen.say(_dice(figures, f"Dice on {figures['cases']} {split} cases"))
        if "warning" in figures:
            screen.say(f"warning: {figures['warning']}")


def _models(models: list[dict[str, Any]]) -> Table:
    table = empty_table("models", "model", ["parameters", "seconds a case"])
    for model in models:
        seconds = model["seconds_per_case"]
        table.add_row(model["name"], f"{model['parameters']:,}", f"{seconds:.2f}")
    return table


def _dice(figures: Mapping[str, Any], title: str) -> Table:
    """Return a row a class: each model, and the student's difference to the teachers' mean."""
    models = list(dict.fromkeys(m for row in figures["dice"].values() for m in row))
    against = _reference(models)
    heads = [*models, f"student - {against} [95 % CI]"]
    table = empty_table(title, "question / class", heads)
    found = {
        f"{d['question']}/{d['class']}": d for d in figures["differences"] if d["to"] == against
    }
    for name, row in figures["dice"].items():
        d = found.get(name)
        told = f"{d['mean']:+.3f} [{d['low']:+.3f}, {d['high']:+.3f}]" if d else "-"
        table.add_row(name, *(f"{row[m]:.3f}" if m in row else "-" for m in models), told)
    return table


def _reference(models: list[str]) -> str:
    """Return what the student is held against: the teachers' mean, or the one teacher."""
    from hinterland.training.runs.beside_teachers import MEAN

    return MEAN if MEAN in models else models[0]
