"""How far a run is, in a small file of its own, for those who watch it from elsewhere."""

from __future__ import annotations

import json
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from hinterland.data.io.files import write_text
from hinterland.types import HinterlandError, Report

FILE = "progress.json"
_WINDOW = 60.0  # seconds over which the speed is measured
_STALE = 120.0  # seconds without a word after which a process elsewhere counts as ended


@dataclass(frozen=True)
class Progress:
    """What the file says.

    Attributes:
        stage: what is being done.
        done: steps (or seconds, or volumes) of it.
        total: how many there are.
        speed: of these a second, lately; 0 where it is not known yet.
        message: the last word, such as the last validation Dice.
        started: time of the stage's beginning, in seconds since 1970.
        updated: time of the file.
        process: number of the process that wrote it.
        machine: the machine that it ran on.
    """

    stage: str
    done: int
    total: int
    speed: float
    message: str
    started: float
    updated: float
    process: int
    machine: str

    @property
    def alive(self) -> bool:
        """Whether the process still runs; of other machines, whether it wrote lately."""
        if self.machine != socket.gethostname():
            return time.time() - self.updated < _STALE
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return False
        except OSError:  # it belongs to somebody else
            return True
        return True

    @property
    def left(self) -> float | None:
        """Seconds until the stage ends; None where the speed is not known."""
        return (self.total - self.done) / self.speed if self.speed > 0 else None


class ProgressNote:
    """Passes on what `report` is told, and writes it into the run's progress.json now and then.

    Args:
        folder: the run directory.
        report: is called each time.
        every: seconds between two writings.
        clock: the time, for tests.
    """

    def __init__(
        self,
        folder: Path,
        report: Report,
        every: float = 2.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._file, self._report = folder / FILE, report
        self._every, self._clock = every, clock
        self.stage("starting")

    def stage(self, name: str) -> None:
        """Begin another stage."""
        self._stage, self._began, self._written = name, self._clock(), float("-inf")
        self._seen: deque[tuple[float, int]] = deque()
        self._write(0, 0, "")

    def __call__(self, done: int, total: int, message: str) -> None:
        """Report how far the stage is."""
        self._report(done, total, message)
        now = self._clock()
        if now - self._written >= self._every or done >= total:
            self._seen.append((now, done))
            while now - self._seen[0][0] > _WINDOW and len(self._seen) > 2:
                self._seen.popleft()
            self._write(done, total, message)

    def _write(self, done: int, total: int, message: str) -> None:
        now = self._clock()
        speed = 0.0
        if len(self._seen) > 1 and self._seen[-1][0] > self._seen[0][0]:
            (first, before), (last, after) = self._seen[0], self._seen[-1]
            speed = max(0.0, (after - before) / (last - first))
        told = Progress(
            self._stage, done, total, speed, message, self._began, now, os.getpid(),
            socket.gethostname(),
        )  # fmt: skip
        self._written = now
        with suppress(HinterlandError, OSError):  # a courtesy: what it is about goes on
            write_text(self._file, json.dumps(asdict(told)) + "\n")


def read_progress(folder: Path) -> Progress | None:
    """Read the progress of a run; None where it has said nothing that can be read."""
    try:
        return Progress(**json.loads((folder / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
