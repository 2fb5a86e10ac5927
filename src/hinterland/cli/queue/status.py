"""`hinterland queue status`: what a queue's jobs are doing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hinterland.cli.options import JsonOption
from hinterland.cli.queue.add import QueueArgument
from hinterland.cli.queue.work import told
from hinterland.cli.screen import Screen, guarded

if TYPE_CHECKING:
    from hinterland.queue.job import Job, State


@guarded
def queue_status(queue: QueueArgument, as_json: JsonOption = False) -> None:
    """List the jobs of a queue: who works on what, what has failed, and why."""
    from hinterland.queue.folder import Queue, running_first

    screen = Screen(as_json)
    opened = Queue.there(queue)
    rows = [_row(job, state) for job, state in running_first(opened.jobs())]
    for row in rows:
        screen.say(f"{row['state']:8} {row['name']}  {row['command']}{_tail(row)}")
    counts = opened.counts()
    screen.say(told(counts))
    screen.result({"queue": str(queue), **counts, "jobs": rows})


def _row(job: Job, state: State) -> dict[str, Any]:
    from hinterland.queue.folder import last_words

    latest, ends = job.latest, job.ends
    row: dict[str, Any] = {
        "name": job.name, "state": state, "attempts": latest,
        "command": job.damage or str(job.request),
        "seconds": sum(end.seconds for end in ends.values()),
    }  # fmt: skip
    if state == "running" and (claim := job.claimed_by(latest)):
        row |= {"host": claim.host, "process": claim.process}
    if latest and state != "done" and not job.damage:
        row |= {"log": str(job.log(latest)), "said": last_words(job)}
    return row


def _tail(row: dict[str, Any]) -> str:
    """Write where it runs, or why it failed."""
    parts = [f"on {row['host']}"] if "host" in row else []
    parts += [f"attempt {row['attempts']}"] if row["attempts"] > 1 else []
    if row["state"] == "failed" and "log" in row:
        parts.append(f"{row['said']} (all of it: {row['log']})")
    return "".join(f"\n         {part}" for part in parts)
