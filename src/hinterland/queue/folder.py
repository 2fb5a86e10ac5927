"""The queue: a folder of jobs that any number of machines share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from hinterland.data.io.files import atomic_path, explained
from hinterland.queue.job import Job, State
from hinterland.queue.request import JobRequest
from hinterland.types import HinterlandError

JOBS = "jobs"
STATES: tuple[State, ...] = ("waiting", "running", "done", "failed")


class Queue:
    """A folder of jobs. Nothing but its files is the state; it needs no server and no lock."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @classmethod
    def there(cls, path: Path | str) -> Queue:
        """Open a queue that exists.

        Raises:
            HinterlandError: The folder is no queue.
        """
        queue = cls(path)
        if not (queue.path / JOBS).is_dir():
            raise HinterlandError(
                f"{path} is no queue. Add a command to it: hinterland queue add {path} -- train ..."
            )
        return queue

    def add(self, request: JobRequest, *, anew: bool = False) -> Job:
        """Add a command; one that is there already is the same job.

        Asked for again, a job that has failed gets its tries anew.

        Args:
            request: The command.
            anew: Whether a job that is done is to be done again.

        Returns:
            Its job.

        Raises:
            HinterlandError: The folder cannot be written to.
        """
        job = Job(self.path / JOBS / request.name)
        if not job.path.is_dir():
            with explained(job.path):
                job.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with atomic_path(job.path) as folder:
                    folder.mkdir()
                    (folder / "request.json").write_text(request.text(), encoding="utf-8")
            except HinterlandError:
                if not job.path.is_dir():  # else somebody has just added the same
                    raise
        elif job.state == "failed" or (anew and job.state == "done"):
            job.again()
        return job

    def jobs(self) -> list[Job]:
        """List all jobs, the ones that were added first in front."""
        found = []
        for path in (self.path / JOBS).glob("*/request.json"):
            with suppress(OSError):
                found.append((path.stat().st_mtime_ns, path.parent.name, Job(path.parent)))
        return [job for *_, job in sorted(found, key=lambda entry: entry[:2])]

    def counts(self) -> dict[str, int]:
        """Count the jobs of each state."""
        found: list[str] = [job.state for job in self.jobs()]
        return {state: found.count(state) for state in STATES}

    def wait(
        self,
        jobs: Sequence[Job],
        report: Callable[[int, int, str], None] | None = None,
        seconds: float = 2.0,
    ) -> None:
        """Wait until others have done these jobs.

        Args:
            jobs: The jobs.
            report: Called with (jobs done, jobs, message).
            seconds: Between two looks.

        Raises:
            HinterlandError: A job failed for good; its last words.
        """
        while True:
            states = [job.state for job in jobs]
            for job, state in zip(jobs, states, strict=True):
                if state == "failed" and job.damage:
                    raise HinterlandError(job.damage)
                if state == "failed":
                    raise HinterlandError(
                        f"`{job.request}` failed in the queue: {last_words(job)} See "
                        f"{job.log(job.latest)}; then give the same command again."
                    )
            done = states.count("done")
            if report:
                report(done, len(jobs), f"{states.count('running')} running in {self.path}")
            if done == len(jobs):
                return
            time.sleep(seconds)


def last_words(job: Job) -> str:
    """Return the last line that a job's last attempt has said."""
    with suppress(OSError):
        lines = job.log(job.latest).read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
    return ""


def running_first(jobs: Sequence[Job]) -> Iterator[tuple[Job, State]]:
    """Give jobs with their states, those in progress first, then waiting, failed and done ones."""
    order = {"running": 0, "waiting": 1, "failed": 2, "done": 3}
    states = [(job, job.state) for job in jobs]
    yield from sorted(states, key=lambda pair: order[pair[1]])
