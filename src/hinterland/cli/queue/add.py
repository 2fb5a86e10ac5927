"""`hinterland queue add`: ask for commands that workers will carry out."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hinterland.cli.options import JsonOption
from hinterland.cli.screen import Screen, guarded

QueueArgument = Annotated[
    Path, typer.Argument(metavar="QUEUE", help="A folder that all workers can see.")
]
_GOES_ON = {"train": "--resume", "distil": "--resume"}
"""Commands that need a word more to go on with what a dead worker has begun."""


@guarded
def queue_add(
    context: typer.Context,
    queue: QueueArgument,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- COMMAND ...", help="As after `hinterland`: train DATASET ..."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="A command a line, instead.")
    ] = None,
    tries: Annotated[
        int, typer.Option("--tries", min=1, help="How often it may fail before it is given up.")
    ] = 3,
    as_json: JsonOption = False,
) -> None:
    """Add a command to a queue; nothing is run yet.

    Paths count from the present folder. The same command twice is one job; added again after it
    has failed, it is tried again. `train` goes on with a run that was begun (--resume).
    """
    from hinterland.queue.folder import Queue
    from hinterland.queue.request import JobRequest
    from hinterland.types import HinterlandError

    screen = Screen(as_json)
    if bool(words) == (file is not None):
        raise HinterlandError(
            "queue add: expected a command, as in `queue add QUEUE -- train DATASET ...`, or "
            "--file with a command a line."
        )
    asked = [list(words)] if words else _lines(file or Path())
    ready = [_checked(context, command) for command in asked]  # all, before the first is added
    jobs = [Queue(queue).add(JobRequest.here(command, tries=tries)) for command in ready]
    for job in jobs:
        screen.say(f"{job.name}: {job.request} ({job.state})")
    screen.say(f"next: hinterland queue work {queue}")
    screen.result({"queue": str(queue), "jobs": [job.name for job in jobs]})


def _lines(file: Path) -> list[list[str]]:
    """Read the commands of a file; empty lines and comments are left out."""
    from hinterland.types import HinterlandError

    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        found = [shlex.split(line, comments=True) for line in lines]
    except (OSError, ValueError) as error:
        raise HinterlandError(
            f"{file} cannot be read: {error}. Expected a command a line, as after `hinterland`."
        ) from error
    return [words[1:] if words[0] == "hinterland" else words for words in found if words]


def _checked(context: typer.Context, words: Sequence[str]) -> list[str]:
    """Let the command line itself read the words, so that a slip is seen now, not by a worker."""
    from hinterland.types import HinterlandError

    command: Any = context.find_root().command
    rest = list(words)
    name = "hinterland"
    while hasattr(command, "commands"):
        found = command.commands.get(rest[0]) if rest else None
        if found is None or rest[0] == "queue":
            known = ", ".join(n for n, c in command.commands.items() if not c.hidden)
            raise HinterlandError(
                f"`{shlex.join(words)}`: expected one of the commands of {name} ({known}), other "
                "than queue."
            )
        command, name, rest = found, f"{name} {rest[0]}", rest[1:]
    with command.make_context(name, list(rest), resilient_parsing=False) as read:
        overwrites = bool(read.params.get("overwrite"))
    more = _GOES_ON.get(words[0])
    return [*words, *([more] if more and not overwrites and more not in words else [])]
