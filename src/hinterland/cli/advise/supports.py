"""`hinterland advise supports`: which support structures to take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hinterland.cli.options import (
    DatasetArgument,
    DimsOption,
    JsonOption,
    LabelsOption,
    SetOption,
    dims_of,
    names,
)
from hinterland.cli.screen import Screen, guarded

if TYPE_CHECKING:
    from rich.table import Table

    from hinterland.studies.supports.advice import Advice


@guarded
def advise_supports(
    dataset: DatasetArgument,
    run: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN]", help="A baseline, whose false positives count."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for the probe and the table.")
    ] = Path("support-advice"),
    labels: LabelsOption = None,
    supports: Annotated[
        str | None,
        typer.Option("--supports", metavar="NODE,...", help="Default: all leaves beside target."),
    ] = None,
    fold: Annotated[
        str,
        typer.Option("--fold", metavar="K|fixed", help="Held-out cases, if there is no RUN."),
    ] = "0",
    steps: Annotated[int, typer.Option("--steps", min=1, help="Of the probe.")] = 200,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    dims: DimsOption = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rank support structures by how much they should help to segment the target.

    What counts: the structure holds the lesions, borders them, holds false positives, and adds
    Fisher information to a short probe model.

    Test cases are never looked at. The probe (DIR/probe) is trained once.
    """
    from hinterland.data.dataset.read import read_dataset
    from hinterland.studies.supports.advice import Question
    from hinterland.studies.supports.advice import advise_supports as advise
    from hinterland.training.config import apply_overrides
    from hinterland.training.runs.request import parse_fold
    from hinterland.training.runs.run import Run
    from hinterland.types import HinterlandError

    screen = Screen(as_json)
    where = parse_fold(fold)
    if where == "all":
        raise HinterlandError("--fold all: the adviser needs held-out cases; give a number.")
    wanted = dims_of(dims)
    question = Question(
        tuple(names(supports)), where, steps, seed, wanted, apply_overrides({}, set_ or []),
        str(labels or ""),
    )  # fmt: skip
    with screen.progress("advice") as tick:
        found = advise(
            read_dataset(dataset, labels), question, out,
            baseline=None if run is None else Run(run), report=tick, stage=tick.stage,
        )  # fmt: skip
    screen.say(_table(found))
    screen.say(_sentence(found))
    screen.say(_rule(found))
    screen.result(found.to_dict())


def _table(advice: Advice) -> Table:
    from rich.table import Table

    table = Table(title=f"Support structures, {advice.patients} patients")
    columns = ("support", "holds", "borders", "false_positives", "information", "variance",
               "learnt", "score", "low", "high", "chosen")  # fmt: skip
    for name in columns:
        table.add_column(name.replace("_", " "), justify="left" if name == "support" else "right")
    for row in advice.table.to_dict("records"):
        values = [row[c] for c in columns[1:]]
        table.add_row(str(row["support"]), *("-" if v != v else f"{v:.2f}" for v in values))
    return table


def _rule(advice: Advice) -> str:
    """Say which rule of sampling the advice assumes."""
    rules = {"target": "the target's classes", "on": "all classes trained on, as nnU-Net does"}
    other = next(rule for rule in rules if rule != advice.centred_on)
    return (
        f"This assumes patches centred on {rules[advice.centred_on]} "
        f"(data.foreground_on={advice.centred_on}). For a model that is trained otherwise, ask "
        f"again with --set data.foreground_on={other}."
    )


def _sentence(advice: Advice) -> str:
    if not advice.take:
        return "Take none: the probe learnt none of them. Give it more --steps."
    often = {row["support"]: row["chosen"] for row in advice.table.to_dict("records")}
    sure = ", ".join(f"{name} {often[name]:.0%}" for name in advice.take)
    return (
        f"Take {', '.join(advice.take)}: --on {'/'.join(['target', *advice.take])}. "
        f"Chosen again in resampled patients: {sure}."
    )
