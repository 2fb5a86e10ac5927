"""A worker: takes one job after another and gives signs of life while each is done."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hinterland.queue.exclusive import machine
from hinterland.queue.folder import Queue
from hinterland.queue.job import Claim, Ending, Job
from hinterland.queue.watch import Watch

EVERY = 5.0
"""Seconds between two signs of life."""
Say = Callable[[str], None]


class Worker:
    """Does the jobs of a queue, one at a time, each in a process of its own."""

    def __init__(
        self, queue: Queue, *, every: float = EVERY, say: Say, stop: threading.Event | None = None
    ) -> None:
        """Make a worker that has not begun.

        Args:
            queue: Where the jobs lie.
            every: Seconds between two signs of life; it counts as dead after twelve of them.
            say: Takes a line about what it does.
            stop: When set, the job in hand is given back and the worker ends.
        """
        self._queue, self._every, self._say = queue, every, say
        self._stop = stop or threading.Event()
        self._watch = Watch()
        self._ended: set[str] = set()

    def work(self, until_empty: bool) -> int:
        """Take jobs until told to stop, or until all have ended.

        Args:
            until_empty: Whether to end with the last job; else it waits for more. Jobs in other
                hands are waited for, too: their workers may die.

        Returns:
            How many attempts it has made.
        """
        made = 0
        while not self._stop.is_set():
            taken = self._take()
            if taken:
                self._carry_out(*taken)
                made += 1
            elif until_empty and all(job.name in self._ended for job in self._queue.jobs()):
                break
            else:
                self._stop.wait(min(self._every, 2.0))
        return made

    def _take(self) -> tuple[Job, int] | None:
        """Claim the first job that nobody has; those that have failed before come last."""
        open_ = [job for job in self._queue.jobs() if job.name not in self._ended]
        for job in sorted(open_, key=lambda job: job.failures):
            state, latest = job.state, job.latest
            if state in ("done", "failed"):
                self._ended.add(job.name)
                if job.damage:
                    self._say(f"{job.name}: {job.damage}")
                continue
            if state == "running" and not self._watch.dead(job, latest):
                continue
            if job.hopeless:  # it has killed its workers
                job.end(latest, "failed", None, 0.0)
                continue
            claim = Claim(platform.node(), machine(), os.getpid(), self._every)
            if job.claim(latest + 1, claim):
                if state == "running":
                    self._say(f"{job.name}: taken over from a worker that is gone")
                return job, latest + 1
        return None

    def _carry_out(self, job: Job, number: int) -> None:
        self._say(f"{job.name}: {job.request}")
        started = time.monotonic()
        how, code = self._watched(job, number)
        seconds = time.monotonic() - started
        if how != "done" and job.latest == number:
            job.end(number, how, code, seconds)
        self._say(f"{job.name}: {how}{'' if code is None else f' ({code})'} in {seconds:.0f} s")

    def _watched(self, job: Job, number: int) -> tuple[Ending, int | None]:
        """Run an attempt to its end, or to the end of this worker's claim on it."""
        command = [sys.executable, "-m", "hinterland.queue.attempt", str(job.path.resolve()),
                   str(number), str(self._every)]  # fmt: skip
        job.beat(number, 0)
        with job.log(number).open("wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        count, last = 0, time.monotonic()
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    code = process.wait(0.2)
                    return ("done", 0) if code == 0 else ("failed", code)
                if self._stop.is_set() or job.latest > number:
                    return "stopped", None
                if time.monotonic() - last >= self._every:
                    count, last = count + 1, time.monotonic()
                    with suppress(OSError):  # a disk that is away for a while: the next one
                        job.beat(number, count)
        finally:
            end_group(process)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process, and what it has started and left behind."""
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
    if process.stdin:
        with suppress(OSError):
            process.stdin.close()


def work_together(
    path: Path | str, workers: int, until_empty: bool, every: float, say: Say
) -> dict[str, int]:
    """Let several workers do the jobs of a queue, until all are done or this process is stopped.

    SIGTERM, with which clusters end a process, counts as Ctrl-C: jobs in hand are given back at
    once, and not counted as failed.

    Args:
        path: The queue.
        workers: How many at a time.
        until_empty: Whether to end with the last job.
        every: Seconds between two signs of life.
        say: Takes a line about what is done.

    Returns:
        The number of jobs in each state.

    Raises:
        HinterlandError: The folder is no queue.
    """
    queue, stop = Queue.there(path), threading.Event()
    made = [Worker(queue, every=every, say=say, stop=stop) for _ in range(workers)]
    broken: list[BaseException] = []

    def run(worker: Worker) -> None:
        try:
            worker.work(until_empty)
        except BaseException as error:
            broken.append(error)
            stop.set()

    threads = [threading.Thread(target=run, args=(worker,)) for worker in made]
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.2)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        signal.signal(signal.SIGTERM, before)
    if broken:
        raise broken[0]
    return queue.counts()
