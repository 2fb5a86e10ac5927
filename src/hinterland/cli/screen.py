"""What the user sees: text and progress, JSON for machines, one line for an error."""

from __future__ import annotations

import errno
import functools
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress

Command = TypeVar("Command", bound=Callable[..., Any])

_QUIET = 10.0  # seconds between two lines where there is no terminal
_FEW = 10  # pieces that are not many
_USERS = (
    errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.ENAMETOOLONG,
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.EIO,
    errno.EFBIG, errno.ENOTEMPTY,
)  # fmt: skip


class Screen:
    """Results on stdout, all else on stderr. With `machine`, stdout holds one JSON object only."""

    def __init__(self, machine: bool = False) -> None:
        self.machine = machine
        # other processes of one run do the same work again: one of them speaks
        self.silent = any(
            os.environ.get(v, "0") not in ("", "0") for v in ("RANK", "LOCAL_RANK", "SLURM_PROCID")
        )

    def say(self, what: RenderableType) -> None:
        """Print text on stdout, or on stderr where stdout holds the JSON of `--json`."""
        if not self.silent:
            shown = printable(what) if isinstance(what, str) else what
            console(stderr=self.machine).print(shown, markup=False, highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Print on stderr what is going on."""
        if not self.silent:
            console(stderr=True).print(
                printable(text), style="dim", markup=False, highlight=False, soft_wrap=True
            )

    def result(self, content: dict[str, Any]) -> None:
        """Print the command's outcome as one JSON object, if `--json` asked for it."""
        if self.machine and not self.silent:
            typer.echo(json.dumps(clean(content), indent=2))

    @contextmanager
    def progress(self, title: str) -> Iterator[Meter]:
        """Open a progress bar with the time left.

        Where stderr is no terminal, lines are printed now and then instead.
        """
        screen = console(stderr=True)
        if self.silent:
            yield Meter(title)
        elif screen.is_terminal:
            with _columns(screen) as bar:
                yield Bar(title, bar)
        else:
            yield Lines(title)


def console(stderr: bool) -> Console:
    """Return a console on the current stderr or stdout.

    Where the stream is no terminal, lines may be 160 characters long instead of being wrapped.
    """
    from rich.console import Console

    found = Console(stderr=stderr)
    return found if found.is_terminal else Console(stderr=stderr, width=160)


def _columns(screen: Console) -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[message]}", markup=False),
        console=screen,
        transient=True,
    )


class Meter:
    """Show how far a piece of work is; called with (done, total) or (done, total, message)."""

    def __init__(self, title: str) -> None:
        self.stage(title)

    def stage(self, title: str) -> None:
        """Begin another stage of the work under a new title."""
        self.title = title

    def __call__(self, done: int, total: int, message: str = "") -> None:
        """Show that `done` of `total` pieces are finished."""


class Bar(Meter):
    """A line that is drawn again and again, for a terminal."""

    def __init__(self, title: str, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task(title, total=None, message="")
        super().__init__(title)

    def stage(self, title: str) -> None:
        """Start the bar again under a new title."""
        super().stage(title)
        self._bar.reset(self._task, total=None, description=title, message="")

    def __call__(self, done: int, total: int, message: str = "") -> None:
        """Draw the bar at its new length."""
        self._bar.update(self._task, completed=done, total=total, message=message)


class Lines(Meter):
    """A line now and then: the first after some seconds, so that quick work leaves no trace."""

    def stage(self, title: str) -> None:
        """Start the count and the clock again under a new title."""
        super().stage(title)
        self._started = self._last = time.monotonic()
        self._total: int | None = None

    def __call__(self, done: int, total: int, message: str = "") -> None:
        """Print a line if the last one is some seconds old."""
        now = time.monotonic()
        if total != self._total:  # the first call, or another count: of a deadline, say
            first = self._total is None
            self._from = (done - 1, self._started) if first else (done, now)
            self._total = total
        passed = now - self._started
        if now - self._last < _QUIET and not (done == total and passed > 2):
            return
        self._last = now
        counted, since = done - self._from[0], now - self._from[1]
        # the first piece of many waits for what all need, and says nothing of the others
        tail = ""
        if done == total or counted > 1 or (counted and total - done <= _FEW):
            tail = f", {clock(since / max(counted, 1) * (total - done))} left"
        tail += printable(f", {message}" if message else "")
        typer.echo(f"{self.title}: {done}/{total}, {clock(passed)} passed{tail}", err=True)


def printable(text: str) -> str:
    r"""Write control characters as text: a name must not steer the terminal.

    Examples:
        >>> printable("a \x1b[2J b")
        'a \\x1b[2J b'
    """
    kept = (c if c in "\n\t" or not _is_control(c) else f"\\x{ord(c):02x}" for c in text)
    return "".join(kept)


def _is_control(letter: str) -> bool:
    return ord(letter) < 32 or 127 <= ord(letter) < 160


def clock(seconds: float) -> str:
    """Write a duration as 1:02:03 or 2:03."""
    minutes, s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{s:02d}" if hours else f"{minutes}:{s:02d}"


def clean(value: Any) -> Any:
    """Return the same content in JSON's types; NaN and infinity become null."""
    if isinstance(value, dict):
        return {str(k): clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [clean(v) for v in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    if hasattr(value, "item"):
        return clean(value.item())
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    return str(value)


def guarded(command: Command) -> Command:
    """Wrap a command, so that its user sees one message instead of a traceback.

    Exit codes: 1 where data, run or machine are at fault, 130 after Ctrl-C. Anything else that is
    raised is a bug of ours and keeps its traceback.
    """

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        from hinterland.errors import HinterlandError

        logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
        logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what matters is raised, too
        machine = bool(kwargs.get("as_json"))
        try:
            return command(*args, **kwargs)
        except HinterlandError as error:
            fail(str(error), machine)
        except (KeyboardInterrupt, SystemExit) as error:
            # Lightning turns Ctrl-C into exit(1)
            if isinstance(error, SystemExit) and not isinstance(
                error.__context__, KeyboardInterrupt
            ):
                raise
            typer.echo(f"\nstopped. {_advice(command.__name__, kwargs)}", err=True)
            raise typer.Exit(130) from None
        except OSError as error:
            if error.errno not in _USERS:
                raise
            fail(f"{error.filename or 'a file'}: {error.strerror}.", machine)
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            fail(
                "the memory does not suffice. Plan for less (--memory GB), or take a smaller "
                "batch (--set batch_size=1).",
                machine,
            )

    return wrapper  # type: ignore[return-value]


def _out_of_memory(error: Exception) -> bool:
    """Tell whether memory ran out; torch says so on a CPU by the words of a RuntimeError."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or "can't allocate memory" in str(error)


def fail(message: str, machine: bool = False) -> NoReturn:
    """Say what is wrong and exit with 1."""
    typer.echo(f"error: {printable(message)}", err=True)
    if machine:
        typer.echo(json.dumps({"error": message}))
    sys.stderr.flush()
    raise typer.Exit(1)


def _advice(command: str, options: dict[str, Any]) -> str:
    """Say how to go on after an interruption."""
    run = options.get("run") if command == "resume" else options.get("out")
    if command in ("train", "distil", "resume") and run is not None:
        if (run / "config.yaml").is_file():
            return f"Go on with: hinterland resume {run}"
        return "Nothing was trained yet: give the same command again (with --overwrite)."
    if command == "demo":
        return "The same command goes on where it stopped."
    return "Nothing is half-written; give the same command again."
