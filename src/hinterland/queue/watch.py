"""Tell whether the worker of an attempt still lives, without trusting anybody's clock."""

from __future__ import annotations

import time
from collections.abc import Callable

from hinterland.data.io.files import lives
from hinterland.queue.exclusive import machine
from hinterland.queue.job import Job

PATIENCE = 12
"""How many signs of life may be missing."""


class Watch:
    """What one observer has seen of the workers, on its own clock.

    A worker counts as dead if its sign of life has stayed the same for as long as the observer,
    looking on, has waited `PATIENCE` of the intervals that the worker itself has promised. No time
    of another machine or of the disk is looked at. On the worker's own machine it is also asked
    whether its process is there.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[tuple[str, int], tuple[str, float]] = {}

    def dead(self, job: Job, number: int) -> bool:
        """Tell whether the worker of an attempt that has not ended is dead."""
        claim = job.claimed_by(number)
        if claim and claim.machine == machine() and not lives(claim.process):
            return True
        beat, now = job.last_beat(number), self._clock()
        before, since = self._seen.setdefault((job.name, number), (beat, now))
        if beat != before:
            self._seen[job.name, number] = beat, now
            return False
        return now - since > PATIENCE * (claim.every if claim else 5.0)
