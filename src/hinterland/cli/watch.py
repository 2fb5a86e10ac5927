"""`hinterland watch`: how a run is doing, live."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hinterland.cli.options import JsonOption, RunArgument
from hinterland.cli.screen import Screen, console, guarded

if TYPE_CHECKING:
    from hinterland.report.watching.state import WatchState


@guarded
def watch(
    run: RunArgument,
    once: Annotated[bool, typer.Option("--once", help="Show it as it is now, and end.")] = False,
    every: Annotated[
        float, typer.Option("--every", min=0.2, metavar="SECONDS", help="Between two looks.")
    ] = 2.0,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="Write a page as well, which loads itself again; with one validation slice, "
            "predicted on the CPU.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show loss and validation curves, Dice by class, speed and time left of a run.

    Works on a run that trains, was stopped or is finished, from any terminal that sees its
    folder. Without --once it ends when the run does, or at Ctrl+C. --json shows it once.
    """
    from rich.live import Live

    from hinterland.report.watching.frame import frame
    from hinterland.report.watching.state import read_state

    screen, terminal = Screen(as_json), console(stderr=as_json)
    page = _Page(html, every)
    state = read_state(run)
    if once or as_json or not terminal.is_terminal:
        page.write(state)
        screen.say(frame(state, terminal.width))
        screen.result(state.to_dict())
        return
    try:
        with Live(frame(state, terminal.width), console=terminal, auto_refresh=False) as live:
            while True:
                page.write(state)
                live.update(frame(state, terminal.width), refresh=True)
                if state.state != "running":
                    return
                time.sleep(every)
                state = read_state(run)
    except KeyboardInterrupt:
        screen.note("no longer watching; the run goes on")


class _Page:
    """The page of `--html`; its pictures are made anew when there is another checkpoint."""

    def __init__(self, file: Path | None, every: float) -> None:
        self._file, self._every = file, every
        self._seen: float | None = None
        self._pictures: list[dict[str, str]] = []

    def write(self, state: WatchState) -> None:
        from hinterland.data.io.files import write_text
        from hinterland.report.watching.overlay import validation_overlay
        from hinterland.report.watching.page import watch_page

        if self._file is None:
            return
        checkpoint = state.run / "checkpoints" / "last.ckpt"
        stamp = checkpoint.stat().st_mtime if checkpoint.is_file() else None
        if stamp != self._seen:
            self._pictures, self._seen = validation_overlay(state.run), stamp
        write_text(self._file, watch_page(state, self._pictures, self._every))
