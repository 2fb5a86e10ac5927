"""A study's runs through a queue: started here, trained by whatever workers share the folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from hinterland.queue.folder import Queue
from hinterland.queue.request import JobRequest
from hinterland.training.runs.request import RunRequest
from hinterland.training.runs.run_training import begin

Report = Callable[[int, int, str], None]


def train_elsewhere(
    out: Path,
    requests: Mapping[str, RunRequest],
    queue: Path,
    report: Report | None = None,
    stage: Callable[[str], None] | None = None,
) -> None:
    """Start all runs, ask the queue to `resume` each, and wait until it has.

    A run that begins with another one's network waits for that one.

    Args:
        out: The folder of the runs; NAME's run is out/NAME.
        requests: Name -> the run asked for.
        queue: The folder of the queue.
        report: Called with (runs done, runs, message).
        stage: Called with what begins.

    Raises:
        HinterlandError: A run cannot be started, or has failed in the queue.
    """
    say = stage or (lambda _: None)
    say(f"waiting for workers: hinterland queue work {queue}")
    left = dict(requests)
    while left:
        unmade = {(out / name).resolve() for name in left}
        ready = {n: r for n, r in left.items() if _source(r) not in unmade} or left
        jobs = []
        for name, request in ready.items():
            run = begin(request, out / name)
            if not run.finished:
                asked = JobRequest.here(["resume", str(run.path.resolve())])
                jobs.append(Queue(queue).add(asked, anew=True))
        Queue(queue).wait(jobs, report)
        left = {n: r for n, r in left.items() if n not in ready}


def _source(request: RunRequest) -> Path | None:
    return None if request.init_from is None else request.init_from.resolve()
