"""How far a phase of training has come: by steps, or by the clock to a deadline.

Schedules (learning rate, ramps of methods) see "step s of S", never a clock; at the end s = S, so
that a learning rate that decays to zero is zero there.
"""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

ENDLESS = 10**9
"""Steps of a phase that a deadline ends."""


class Pace(ABC):
    """The pace of one phase."""

    @abstractmethod
    def at(self, step: int) -> tuple[int, int]:
        """Return (s, S) of the schedules once `step` steps are done."""

    @abstractmethod
    def share_done(self, step: int) -> float:
        """Return how much of the phase is over once `step` steps are done, from 0 to 1."""

    @abstractmethod
    def due(self, step: int) -> bool:
        """Tell whether to validate and save now."""

    @abstractmethod
    def ended(self, step: int) -> bool:
        """Tell whether the phase is over."""

    def validated(self, seconds: float) -> None:  # noqa: B027
        """Take note of how long a validation took."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must hold for `restore`."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Go on where `state` was taken."""


class StepPace(Pace):
    """A phase of a given number of steps, with a validation after each `interval`."""

    def __init__(self, steps: int, interval: int) -> None:
        self.steps, self.interval = steps, interval

    def at(self, step: int) -> tuple[int, int]:
        return step, self.steps

    def share_done(self, step: int) -> float:
        return step / self.steps

    def due(self, step: int) -> bool:
        return step % self.interval == 0 or step == self.steps

    def ended(self, step: int) -> bool:
        return step >= self.steps


class DeadlinePace(Pace):
    """A phase that ends at a deadline, on a machine of any speed, also one that slows down.

    The share of the phase's time that has passed is the share of the schedule that is done. So the
    end is annealed however many steps fitted in. Once `PROBE` steps are timed, S is the number of
    steps that fit at that speed.

    A validation may take a tenth of the time: the next comes after nine times its duration, and
    after a twentieth of the phase at the earliest. What predicting and evaluating after the
    training will take is known from the first validation, and left for it.

    Args:
        seconds: for the whole run, validation and prediction included.
        spent: seconds that were spent before (in earlier phases).
        share: the phase's part of the training that is still to come, in (0, 1].
        after: duration of what follows training, in validations.
        now: the clock, in seconds.
    """

    PROBE = 10
    FIRST_VALIDATION = 0.2
    MOST_VALIDATIONS = 20
    BREAK = 9.0
    MOST_RESERVED = 0.5

    def __init__(
        self,
        seconds: float,
        *,
        spent: float = 0.0,
        share: float = 1.0,
        after: float = 0.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds, self.share, self.after = seconds, share, after
        self._now = now
        self._start = now() - spent
        self._began = spent
        self._next = self._began + self.FIRST_VALIDATION * (self._deadline(0.0) - self._began)
        self._validation = 0.0
        self._steps = 0
        self._done = 0.0
        self._probed: tuple[int, float] | None = None

    @property
    def elapsed(self) -> float:
        """Seconds of the run, pauses between processes left out."""
        return self._now() - self._start

    def _deadline(self, validation: float) -> float:
        reserved = min((1 + self.after) * validation, self.MOST_RESERVED * self.seconds)
        return self._began + max(self.seconds - reserved - self._began, 0.0) * self.share

    def share_done(self, step: int) -> float:
        del step
        return self._fraction()

    def _fraction(self) -> float:
        span = self._deadline(self._validation) - self._began
        passed = (self.elapsed - self._began) / span if span > 0 else 1.0
        self._done = min(max(passed, self._done), 1.0)
        return self._done

    def at(self, step: int) -> tuple[int, int]:
        fraction = self._fraction()
        if not self._steps:
            self._measure(step)
        steps = self._steps or 1000 * self.PROBE
        return min(int(fraction * steps), steps), steps

    def _measure(self, step: int) -> None:
        """Set S from the time of some steps, without the first ones, which warm up caches."""
        here = self.elapsed
        if self._probed is None:
            if step >= 2:
                self._probed = step, here
        elif step >= self._probed[0] + self.PROBE:
            first, then = self._probed
            each = max((here - then) / (step - first), 1e-6)
            span = self._deadline(self._validation) - self._began
            self._steps = max(round(span / each), step + 1)

    def due(self, step: int) -> bool:
        deadline = self._deadline(self._validation)
        early = self.elapsed >= self._next and deadline - self.elapsed > 2 * self._validation
        return self.ended(step) or early

    def ended(self, step: int) -> bool:
        return step > 0 and self._fraction() >= 1.0

    def validated(self, seconds: float) -> None:
        self._validation = max(self._validation, seconds)
        span = self._deadline(self._validation) - self._began
        self._next = self.elapsed + max(span / self.MOST_VALIDATIONS, self.BREAK * seconds)

    def state(self) -> dict[str, Any]:
        return {
            "elapsed": self.elapsed,
            "began": self._began,
            "validation": self._validation,
            "steps": self._steps,
            "done": self._done,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._start = self._now() - state["elapsed"]
        self._began, self._validation = state["began"], state["validation"]
        self._steps, self._done = state["steps"], state["done"]
        self.validated(self._validation)


def seconds_of(text: str | float) -> float:
    """Return the seconds of "20min", "90 s", "1.5h", "2h30min", or of a number of seconds.

    Raises:
        ValueError: it is none of these, or not above zero.
    """
    units = {"s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "": 1.0}
    words = str(text).strip().lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]*)\s*", words)
    whole = re.sub(r"\s", "", "".join(n + u for n, u in parts)) == re.sub(r"\s", "", words)
    if not parts or not whole or any(unit not in units for _, unit in parts):
        raise ValueError(f"{text!r}: expected a time such as 90s, 20min, 1.5h or 2h30min")
    found = sum(float(number) * units[unit] for number, unit in parts)
    if found <= 0:
        raise ValueError(f"{text!r}: expected a time above zero")
    return found
