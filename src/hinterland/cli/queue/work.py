"""`hinterland queue work`: do the jobs of a queue here, or ask a cluster for workers."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hinterland.cli.options import JsonOption
from hinterland.cli.queue.add import QueueArgument
from hinterland.cli.screen import Screen, guarded


@guarded
def queue_work(
    queue: QueueArgument,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Jobs at a time.")] = 1,
    until_empty: Annotated[
        bool, typer.Option("--until-empty", help="End with the last job; else wait for more.")
    ] = False,
    submit: Annotated[
        str | None,
        typer.Option(
            "--submit",
            metavar="slurm|local",
            help="Do not work here: start the workers by SLURM, as one array (pip install "
            "'hinterland[cluster]'); local: as processes that outlive this one.",
        ),
    ] = None,
    with_: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="NAME=VALUE",
            help="What the scheduler is told, in submitit's words: timeout_min=240, "
            "gpus_per_node=1, cpus_per_task=8, mem_gb=32, slurm_partition=gpu. Repeatable.",
        ),
    ] = None,
    every: Annotated[
        float,
        typer.Option(
            "--alive",
            metavar="SECONDS",
            min=0.1,
            help="Between two signs of life; after twelve missing ones others take the job over.",
        ),
    ] = 5.0,
    as_json: JsonOption = False,
) -> None:
    """Do the jobs of a queue, one after another, on as many machines as you start this on.

    Each job belongs to one worker. Where a worker dies, another goes on with its job where it
    stopped. A job that fails is tried again, last; its log lies in QUEUE/jobs/NAME. Ctrl-C and
    SIGTERM give jobs back. Exit code 1 if a job has failed for good.
    """
    from hinterland.queue.submit import submit_workers
    from hinterland.queue.worker import work_together

    screen = Screen(as_json)
    if submit:
        names = submit_workers(queue, workers, submit, _options(with_ or []))
        screen.say(f"{len(names)} workers asked of {submit}: {', '.join(names)}")
        screen.result({"queue": str(queue), "submitted": names})
        return
    counts = work_together(queue, workers, until_empty, every, screen.note)
    screen.say(told(counts))
    screen.result({"queue": str(queue), **counts})
    if counts["failed"]:
        screen.say(f"why: hinterland queue status {queue}")
        raise typer.Exit(1)


def told(counts: dict[str, int]) -> str:
    """Write the numbers of jobs in words."""
    return ", ".join(f"{number} {state}" for state, number in counts.items())


def _options(given: list[str]) -> dict[str, Any]:
    """Read NAME=VALUE, numbers as numbers."""
    import yaml

    from hinterland.types import HinterlandError

    found = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not (name and sign):
            raise HinterlandError(f"--with {text}: expected NAME=VALUE, such as timeout_min=240.")
        found[name.strip()] = yaml.safe_load(value)
    return found
