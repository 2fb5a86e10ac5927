"""Run commands of `hinterland` in processes forked from this warm one, and measure each.

A child starts with everything imported, so that hundreds of commands take minutes; it has its own
limit of memory and of time, and its peak is measured above what it was born with.
"""

from __future__ import annotations

import io
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SECONDS = 60
GIGABYTES = 2.0


@dataclass(frozen=True)
class Outcome:
    """What a command did. code: exit code, or minus the signal. gigabytes: peak resident memory."""

    code: int
    text: str
    seconds: float
    gigabytes: float

    @property
    def faults(self) -> list[str]:
        """Every way in which it did not end as demanded: an answer, or one message and exit 1."""
        wrong = []
        if self.code not in (0, 1, 2) or (self.code == 2 and "Usage" not in self.text):
            wrong.append(f"exit {self.code}")
        if "Traceback (most recent call last)" in self.text:
            wrong.append("traceback")
        errors = [line for line in self.text.splitlines() if line.startswith("error")]
        if self.code == 1 and not errors:
            wrong.append("no message")
        if self.seconds > SECONDS:
            wrong.append(f"{self.seconds:.0f} s")
        if self.gigabytes > GIGABYTES:
            wrong.append(f"{self.gigabytes:.1f} GB")
        return wrong


def warm() -> None:
    """Import what commands need, once."""
    import lightning  # noqa: F401
    import monai  # noqa: F401
    import torch

    import hinterland.cli.main
    import hinterland.report.compare
    import hinterland.training.runs.run_training  # noqa: F401

    torch.set_num_threads(1)


def run(arguments: Sequence[object]) -> Outcome:
    """Run `hinterland ARGUMENTS` in a child."""
    with tempfile.TemporaryFile() as file:
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            _child([str(a) for a in arguments], file.fileno())
        status, usage = _wait(child, started)
        seconds = time.monotonic() - started
        file.seek(0)
        text = file.read().decode(errors="replace")
    code = os.waitstatus_to_exitcode(status)
    return Outcome(code, text, round(seconds, 2), round(usage.ru_maxrss / 2**20, 3))


def _wait(child: int, started: float) -> tuple[int, resource.struct_rusage]:
    """Wait for the child and all of its group; kill them far above the limits."""
    while True:
        found, status, usage = os.wait4(child, os.WNOHANG)
        if found:
            break
        if time.monotonic() - started > 1.1 * SECONDS or _resident(child) > 2 * GIGABYTES:
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.01)
    return status, usage


def _resident(process: int) -> float:
    """Resident memory of a process in GB."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * resource.getpagesize() / 2**30


def _child(arguments: list[str], output: int) -> None:
    os.setpgid(0, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), write_through=True)
    sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb", closefd=False), write_through=True)
    code = 99
    try:
        from hinterland.cli.main import app

        app(arguments, prog_name="hinterland")
        code = 0
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 99
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def scratch(folder: Path | None = None) -> Path:
    """Make a folder for a trial."""
    return Path(tempfile.mkdtemp(prefix="mutation-", dir=folder))
