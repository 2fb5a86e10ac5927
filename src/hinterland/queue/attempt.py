"""One attempt at a job, in a process of its own: `python -m hinterland.queue.attempt JOB N EVERY`.

It runs the command of a worker and dies with it: its standard input is a pipe that the worker
holds, and at the end of that pipe, or when somebody else has taken the job over, it ends itself
with all that it has started.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hinterland.data.io.lock import alone
from hinterland.queue.job import Job
from hinterland.queue.request import HINTERLAND
from hinterland.types import HinterlandError

WAIT = 60.0
"""Seconds in which a predecessor on this machine must have let go of the job."""


def main(folder: str, number: int, every: float) -> int:
    """Do the work of attempt `number`, unless it turns out to be done.

    Args:
        folder: The job's.
        number: The attempt.
        every: Seconds between two looks whether the job is still ours.

    Returns:
        The exit code of the command.
    """
    job = Job(Path(folder))
    _die_with_the_worker(job, number, every)
    started = time.monotonic()
    with _after_others(job):
        if job.done:
            return 0
        code = _run(job)
        if code == 0:  # as near to the command's last file as can be
            job.end(number, "done", 0, time.monotonic() - started)
    return code


@contextmanager
def _after_others(job: Job) -> Iterator[None]:
    """Have the job alone, once a predecessor that is dying has let go of it."""
    end = time.monotonic() + WAIT
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(alone(job.path, str(job.path)))
                break
            except HinterlandError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)
        yield


def _run(job: Job) -> int:
    request = job.request
    os.chdir(request.folder)
    sys.argv = [request.program, *request.words]
    if request.program != HINTERLAND:
        sys.path.insert(0, request.folder)
    try:
        runpy.run_module(request.program, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = ended.code
        if isinstance(code, str):
            sys.stderr.write(f"{code}\n")
        return code if isinstance(code, int) else 0 if code is None else 1
    return 0


def _die_with_the_worker(job: Job, number: int, every: float) -> None:
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def until_it_closes() -> None:
        while os.read(pipe, 1):
            pass
        _end_all()

    def until_it_is_taken() -> None:
        while job.latest <= number:
            time.sleep(every)
        _end_all()

    for watch in (until_it_closes, until_it_is_taken):
        threading.Thread(target=watch, daemon=True).start()


def _end_all() -> None:
    """End this process and what it has started, at once."""
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
