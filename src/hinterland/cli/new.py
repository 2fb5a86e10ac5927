"""`hinterland new`: a labels.yaml, by asking or from what the masks hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hinterland.cli.options import DatasetArgument, JsonOption, OverwriteOption, names
from hinterland.cli.screen import Screen, guarded

if TYPE_CHECKING:
    from hinterland.data.dataset.new_labels import Found


@guarded
def new(
    dataset: DatasetArgument,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Default: DATASET/labels.yaml.")
    ] = None,
    named: Annotated[
        str | None,
        typer.Option("--names", metavar="N=CLASS,...", help="Of the integers in the masks."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="CLASS,...",
            help="What is asked for; the other classes support it. Default: all.",
        ),
    ] = None,
    group_pattern: Annotated[
        str | None,
        typer.Option(
            "--group-pattern", metavar="REGEX", help="What finds the patient in a case's name."
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing; take what is proposed.")
    ] = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Look into the masks, ask what their integers mean, write labels.yaml and draw the tree."""
    from hinterland.data.dataset.new_labels import labels_text, look, refuse_existing
    from hinterland.data.io.files import write_text
    from hinterland.labels import LabelSpec
    from hinterland.labels.strict_yaml import parse_yaml

    screen = Screen(as_json)
    file = out or dataset / "labels.yaml"
    refuse_existing(file, overwrite)
    with screen.progress("reading masks") as tick:
        tick(0, 1)
        found = look(dataset)
    given = _given(named, found)
    classes, wanted, pattern = given, names(target), group_pattern or ""
    if not yes and not as_json:
        screen.say(f"the masks hold {', '.join(map(str, found.values))}")
        classes = {v: _ask(f"what is {v}?", name) for v, name in given.items()}
        wanted = wanted or names(_ask("what is asked for? (the others support it)", "all"))
        pattern = pattern or _ask(
            f"a pattern that finds the patient in {found.cases[0]!r} (none: a case each)", "none"
        )
    wanted = [] if wanted == ["all"] else wanted
    text = labels_text(classes, wanted, "" if pattern == "none" else pattern)
    write_text(file, text)
    spec = LabelSpec.from_dict(parse_yaml(text))
    screen.say(spec.tree.draw())
    screen.say(f"asked by default: {spec.target}")
    labels = "" if file.parent == dataset else f" --labels {file}"
    screen.say(f"written: {file}\nnext: hinterland check {dataset}{labels}")
    screen.result({"file": str(file), "labels": spec.to_dict()})


def _given(text: str | None, found: Found) -> dict[int, str]:
    """Return the proposed names, with those of --names in their place."""
    from hinterland.types import HinterlandError

    classes = dict(found.names)
    for part in names(text):
        value, sign, name = (p.strip() for p in part.partition("="))
        if not sign or not name or not value.isdecimal() or int(value) not in found.values:
            raise HinterlandError(
                f"--names {part}: expected INTEGER=CLASS with an integer of the masks "
                f"({', '.join(map(str, found.values))})."
            )
        classes[int(value)] = name
    return classes


def _ask(question: str, proposed: str) -> str:
    answer: str = typer.prompt(question, default=proposed, err=True)
    return answer.strip()
