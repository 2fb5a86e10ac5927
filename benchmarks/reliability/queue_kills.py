"""A queue whose workers are killed at random: every job done once, with the bytes of a calm run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.cell import Cell
from benchmarks.reliability.process import warm_up
from benchmarks.reliability.snapshot import differences, snapshot
from benchmarks.reliability.subjects import TINY, Bench, prepare
from hinterland.queue.folder import Queue
from hinterland.queue.request import JobRequest

TITLE = "A queue whose workers are killed"
TEXT = """
Small jobs (two trainings in five, else predict, export and supports on tiny phantoms; a network of
two levels, a few steps) in one queue, done by several workers (`hinterland queue work`). At seeded
random moments one of the workers gets signal 9, the command that it runs does not; another worker
is started in its place. `taken over`: jobs that a second worker had to go on with. A job is done
once if exactly one of its attempts ended well. Then everything that the jobs have written is held
against the same commands given one after another in one process each: other bytes, missing and
left-over files are counted (TensorBoard's events and times left out).
"""
PATIENCE = 3600.0


@dataclass(frozen=True)
class QueueCell(Cell):
    """Jobs, workers, kills; `pause` is the mean of the seconds between two kills."""

    jobs: int = 40
    workers: int = 4
    kills: int = 20
    pause: float = 8.0

    def run(self, folder: Path) -> dict[str, Any]:
        bench = calm(folder, self.jobs)
        whole = snapshot(bench.place)
        bench.empty()
        queue = Queue(folder / f"queue-{os.getpid()}")
        for words in commands(bench, self.jobs):
            queue.add(JobRequest(tuple(words), str(bench.place)))
        started = time.monotonic()
        kills = disturbed(queue, bench, self)
        ends = [[e.how for e in job.ends.values()].count("done") for job in queue.jobs()]
        attempts = [job.latest for job in queue.jobs()]
        return {
            "measured": {
                "jobs": self.jobs, "workers": self.workers, "kills": kills,
                "done once": ends.count(1), "taken over": sum(n > 1 for n in attempts),
                "attempts": sum(attempts), "wrong": differences(snapshot(bench.place), whole),
                "files": len(whole), "seconds": round(time.monotonic() - started),
            }
        }  # fmt: skip


def commands(bench: Bench, jobs: int) -> list[list[str]]:
    """What is asked: independent commands, each with an output of its own."""
    data, runs = str(bench.base / "data"), bench.base / "runs"
    kinds = (
        lambda out, n: ["train", data, "--method", "backsplit", "--fold", "fixed", "--dims", "2",
                        "--steps", "6", "--seed", str(n), "--out", out, "--resume", *TINY],
        lambda out, n: ["export", str(runs / "b"), out, "--to", "nnunet", "--overwrite"],
        lambda out, n: ["supports", "masks", data, str(bench.base / "masks"), "--out", out],
        lambda out, n: ["train", data, "--method", "supervised", "--fold", "fixed", "--dims", "2",
                        "--steps", "4", "--seed", str(n), "--out", out, "--resume", *TINY],
        lambda out, n: ["predict", str(runs / "b"), f"{data}/imagesTs", out, "--overwrite"],
    )  # fmt: skip
    return [kinds[n % len(kinds)](str(bench.out / f"job{n:02d}"), n) for n in range(jobs)]


def calm(folder: Path, jobs: int) -> Bench:
    """Do the commands one after another, undisturbed."""
    warm_up()
    bench = prepare(folder)
    bench.empty()
    for words in commands(bench, jobs):
        ended = bench.run(words)
        if ended.code:
            raise RuntimeError(f"{words} fails without any trouble: {ended.last_words}")
    return bench


def disturbed(queue: Queue, bench: Bench, asked: QueueCell) -> int:
    """Do the jobs with workers that are killed; returns how many were."""
    rng = random.Random(asked.seed)
    workers = [_worker(queue, bench) for _ in range(asked.workers)]
    killed, end = 0, time.monotonic() + PATIENCE
    following = time.monotonic() + rng.expovariate(1 / asked.pause)
    try:
        while any(w.poll() is None for w in workers) and time.monotonic() < end:
            time.sleep(0.05)
            living = [i for i, w in enumerate(workers) if w.poll() is None]
            if killed < asked.kills and time.monotonic() > following and living:
                chosen = rng.choice(living)
                os.kill(workers[chosen].pid, signal.SIGKILL)
                workers[chosen].wait()
                workers[chosen] = _worker(queue, bench)
                killed += 1
                following = time.monotonic() + rng.expovariate(1 / asked.pause)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    return killed


def _worker(queue: Queue, bench: Bench) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "hinterland", "queue", "work", str(queue.path),
               "--until-empty", "--alive", "0.5"]  # fmt: skip
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        env=os.environ | {"HINTERLAND_CACHE": str(bench.place / "cache")},
    )  # fmt: skip


def cells(size: str, seeds: int) -> list[Cell]:
    """One cell; fewer jobs for a smoke test."""
    del seeds
    small = size == "smoke"
    return [QueueCell("four jobs", jobs=4, workers=2, kills=2)] if small else [QueueCell("40 jobs")]


def page(size: str, all_cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """A row for each cell, and what was wrong."""
    del size
    columns = (
        "jobs",
        "workers",
        "kills",
        "taken over",
        "attempts",
        "done once",
        "files",
        "seconds",
    )
    lines = [f"| {' | '.join(columns)} | other bytes |", "|" + " ---: |" * (len(columns) + 1)]
    for cell in all_cells:
        if found := results.get(cell.name, {}).get("measured"):
            lines.append(
                f"| {' | '.join(str(found[c]) for c in columns)} | {len(found['wrong'])} |"
            )
            lines += [f"\n- {line}" for line in found["wrong"]]
    return "\n".join(lines)
