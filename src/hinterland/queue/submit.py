"""Start workers by a cluster's scheduler: an array of jobs, through submitit."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hinterland.queue.folder import Queue
from hinterland.types import HinterlandError

SCHEDULERS = ("slurm", "local")


def submit_workers(
    path: Path | str, workers: int, scheduler: str, options: Mapping[str, Any]
) -> list[str]:
    """Ask a scheduler for workers that end with the last job of a queue.

    The queue shares out the work, so the scheduler needs to know nothing of it: workers that it
    kills at their time limit, or never starts, cost nothing but time.

    Args:
        path: The queue.
        workers: How many: the length of the array.
        scheduler: "slurm", or "local" (processes of this machine, for tries).
        options: Parameters of submitit, such as timeout_min, slurm_partition, gpus_per_node.

    Returns:
        The scheduler's names of the jobs.

    Raises:
        HinterlandError: There is no submitit, or it does not know the scheduler or an option.
    """
    queue = Queue.there(path)
    if scheduler not in SCHEDULERS:
        raise HinterlandError(
            f"--submit {scheduler}: expected {' or '.join(SCHEDULERS)}. For other schedulers let "
            f"them run: hinterland queue work {path} --until-empty"
        )
    try:
        import submitit
    except ImportError as error:
        raise HinterlandError(
            f"--submit {scheduler} needs submitit. Install it: pip install 'hinterland[cluster]'"
        ) from error
    command = [sys.executable, "-m", "hinterland", "queue", "work", str(queue.path.resolve()),
               "--until-empty"]  # fmt: skip
    try:
        executor = submitit.AutoExecutor(queue.path / "workers", cluster=scheduler)
        executor.update_parameters(name="hinterland", **options)
        work = submitit.helpers.CommandFunction(command)
        with executor.batch():
            made = [executor.submit(work) for _ in range(workers)]
    except (RuntimeError, NameError, TypeError, ValueError, AssertionError) as error:
        raise HinterlandError(
            f"{scheduler} did not take the workers: {error} Correct --with, or start them by hand: "
            f"hinterland queue work {path} --until-empty"
        ) from error
    return [str(job.job_id) for job in made]
