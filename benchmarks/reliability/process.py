"""Run the command line in process groups of their own, forked from a parent that has imported it.

Starting Python and importing torch costs seconds, a tiny training run one: a forked child begins
where a fresh process would be after its imports. It is a process of its own in all other respects,
leads its own group and is killed with all that it has started.
"""

from __future__ import annotations

import os
import pkgutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

PATIENCE = 120.0
"""Seconds after which a command counts as hanging."""
_HEAVY = ("lightning", "monai.networks.nets", "torch.utils.tensorboard", "matplotlib.pyplot",
          "pandas", "nibabel", "SimpleITK", "scipy.stats", "scipy.ndimage", "rich.table",
          "rich.progress", "jinja2", "PIL.Image")  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (negative: the signal), its words, its costs."""

    code: int
    out: str
    error: str
    seconds: float
    peak_mib: float

    @property
    def last_words(self) -> str:
        """The last lines on stderr."""
        return " / ".join(self.error.strip().splitlines()[-3:])[-400:]


def warm_up() -> None:
    """Import what commands import, without computing anything: threads do not survive a fork."""
    import hinterland

    os.environ.setdefault("MPLBACKEND", "Agg")
    for name in _HEAVY:
        import_module(name)
    for module in pkgutil.walk_packages(hinterland.__path__, "hinterland."):
        if not module.name.startswith("hinterland.supports.scripts"):
            import_module(module.name)


class Command:
    """A running command line."""

    def __init__(
        self,
        arguments: Sequence[str],
        logs: Path,
        environment: Mapping[str, str] | None = None,
        before: Callable[[], None] | None = None,
    ) -> None:
        """Start it.

        Args:
            arguments: What is typed after `hinterland`.
            logs: A folder for what it says.
            environment: Changes of the environment.
            before: Called in the new process before the command.
        """
        logs.mkdir(parents=True, exist_ok=True)
        self._logs = [logs / f"{time.monotonic_ns()}.{name}" for name in ("out", "error")]
        for log in self._logs:
            log.touch()  # whoever is killed at once has not opened them
        self._started = time.monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            code = 99
            try:
                code = _child(arguments, self._logs, environment or {}, before)
            finally:
                os._exit(code)
        with suppress(OSError):
            os.setpgid(self.pid, self.pid)  # whoever comes first

    def kill(self) -> None:
        """Send signal 9 to the process and all that it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def wait(self, seconds: float = PATIENCE) -> Ended | None:
        """Wait for the end; None if the process still runs after that time."""
        end = time.monotonic() + seconds
        while True:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() >= end:
                return None
            time.sleep(0.002)
        taken = time.monotonic() - self._started
        self._kill_rest()
        out, error = (log.read_text(errors="replace") for log in self._logs)
        for log in self._logs:
            log.unlink()
        code = os.waitstatus_to_exitcode(status)
        return Ended(code, out, error, taken, usage.ru_maxrss / 1024)

    def _kill_rest(self) -> None:
        """Kill what it may have left behind, and give it a moment to die."""
        end = time.monotonic() + 0.5
        with suppress(ProcessLookupError):
            while time.monotonic() < end:
                os.killpg(self.pid, signal.SIGKILL)
                time.sleep(0.005)

    def end(self) -> Ended:
        """Wait for the end; a command that hangs is killed."""
        found = self.wait()
        if found is None:
            self.kill()
            found = self.wait()
        assert found is not None
        return found


def _child(
    arguments: Sequence[str],
    logs: Sequence[Path],
    environment: Mapping[str, str],
    before: Callable[[], None] | None,
) -> int:
    """Be the command; returns its exit code."""
    os.setpgid(0, 0)
    for number, log in enumerate(logs, start=1):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.environ.update(environment)
    sys.argv = ["hinterland", *arguments]
    from hinterland.cli.main import main

    code = 0
    try:
        if before:
            before()
        main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    return code
