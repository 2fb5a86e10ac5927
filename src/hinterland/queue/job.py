"""A job: a folder with its request and its attempts, whose files are its whole state.

    request.json   the command; never changed
    N.claim        attempt N belongs to one worker: it alone could make this file
    N.beat         a number that the worker goes on changing for as long as it lives
    N.log          what the command said
    N.ended        how the attempt ended
    again          how many attempts there had been when the command was asked for again

Nothing is removed to take a job over: attempt N + 1 is claimed, and whoever holds attempt N sees
that and stops. So there is no moment at which two could take it.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from hinterland.data.io.files import write_text
from hinterland.queue.exclusive import create
from hinterland.queue.request import JobRequest
from hinterland.types import HinterlandError

Ending = Literal["done", "failed", "stopped"]
State = Literal["waiting", "running", "done", "failed"]
MOST_LOST = 20
"""Attempts whose workers vanished, after which a job is given up: perhaps it kills them."""


@dataclass(frozen=True)
class Claim:
    """Who works on an attempt: machine, process, and how often (seconds) it gives a sign of life.

    `host` is for people, `machine` for comparing.
    """

    host: str
    machine: str
    process: int
    every: float


@dataclass(frozen=True)
class End:
    """How an attempt ended.

    Attributes:
        how: "stopped" is the worker's doing, not the command's: it does not count as a failure.
        code: The exit code, negative for a signal; None where there was none.
        seconds: What it took.
        finished: The date, for people.
    """

    how: Ending
    code: int | None
    seconds: float
    finished: str


class Job:
    """A view of a job's folder, as it is at the moment of each question."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """The name of the job."""
        return self.path.name

    @cached_property
    def request(self) -> JobRequest:
        """The command that is asked for; HinterlandError for what cannot be read."""
        file = self.path / "request.json"
        return JobRequest.parse(file.read_text(encoding="utf-8"), file)

    @property
    def damage(self) -> str:
        """What is wrong with the request's file; "" where it can be read. Other jobs go on."""
        try:
            _ = self.request
        except HinterlandError as error:
            return str(error)
        except (OSError, UnicodeDecodeError) as error:
            return f"{self.path / 'request.json'} cannot be read ({error}). Remove its folder."
        return ""

    @property
    def latest(self) -> int:
        """The number of the last attempt; 0 where there was none."""
        return max(self._numbers("claim"), default=0)

    @property
    def ends(self) -> dict[int, End]:
        """The attempts that have ended, by number."""
        found = {}
        for number in sorted(self._numbers("ended")):
            with suppress(OSError, ValueError, TypeError):
                found[number] = End(**self._read(number, "ended"))
        return found

    @property
    def state(self) -> State:
        """The state; "running" also where the worker may be dead (see `Watch`)."""
        latest, ends = self.latest, self.ends
        if self.done:
            return "done"
        if latest and latest not in ends:
            return "running"
        return "failed" if self.hopeless else "waiting"

    @property
    def done(self) -> bool:
        """Whether an attempt has ended well since the command was last asked for anew."""
        return any(end.how == "done" for n, end in self.ends.items() if n > self._forgiven)

    @property
    def hopeless(self) -> bool:
        """Whether it failed, or lost its workers, as often as it may."""
        if self.damage:
            return True
        ends, forgiven = self.ends, self._forgiven
        failed = [e for n, e in ends.items() if n > forgiven and e.how == "failed"]
        lost = [n for n in range(forgiven + 1, self.latest) if n not in ends]
        usage = any(end.code == 2 for end in failed)  # no second try makes it another command
        return usage or len(failed) >= self.request.tries or len(lost) >= MOST_LOST

    @property
    def failures(self) -> int:
        """How many attempts have failed."""
        return sum(end.how == "failed" for end in self.ends.values())

    def claim(self, number: int, claim: Claim) -> bool:
        """Take attempt `number`; False where somebody was faster."""
        return create(self._file(number, "claim"), json.dumps(asdict(claim)) + "\n")

    def claimed_by(self, number: int) -> Claim | None:
        """Return who has an attempt, or None where that cannot be read."""
        try:
            return Claim(**self._read(number, "claim"))
        except (OSError, ValueError, TypeError):
            return None

    def beat(self, number: int, count: int) -> None:
        """Give a sign of life."""
        self._file(number, "beat").write_text(f"{count}\n", encoding="utf-8")

    def last_beat(self, number: int) -> str:
        """Return the last sign of life: any other text than before is a new one."""
        try:
            return self._file(number, "beat").read_text(encoding="utf-8")
        except OSError:
            return ""

    def end(self, number: int, how: Ending, code: int | None, seconds: float) -> None:
        """Note how an attempt has ended; what was noted first stands.

        So a worker that is told to stop while its command says "done" does not undo that.

        Args:
            number: The attempt.
            how: How it ended.
            code: The exit code, if there is one.
            seconds: What it took.
        """
        date = time.strftime("%Y-%m-%d %H:%M:%S%z")
        end = End(how, code, round(seconds, 1), date)
        create(self._file(number, "ended"), json.dumps(asdict(end)) + "\n")

    def again(self) -> None:
        """Forget how all attempts until now have ended."""
        write_text(self.path / "again", f"{self.latest}\n")

    def log(self, number: int) -> Path:
        """Return the file of what the command said in an attempt."""
        return self._file(number, "log")

    @property
    def _forgiven(self) -> int:
        with suppress(OSError, ValueError):
            return int((self.path / "again").read_text(encoding="utf-8"))
        return 0

    def _file(self, number: int, kind: str) -> Path:
        return self.path / f"{number}.{kind}"

    def _numbers(self, kind: str) -> list[int]:
        names = (path.name.split(".") for path in self.path.glob(f"*.{kind}"))
        return [int(parts[0]) for parts in names if len(parts) == 2 and parts[0].isdecimal()]

    def _read(self, number: int, kind: str) -> dict[str, Any]:
        found = json.loads(self._file(number, kind).read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(kind)
        return found
