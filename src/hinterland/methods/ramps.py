"""Weights that rise with training. `t` is the share of it that is done, cut to [0, 1]."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hinterland.types import HinterlandError, Progress


def sigmoid_ramp(t: float) -> float:
    """exp(-5 (1 - t)^2): from 0.0067 to 1, the usual ramp of the mean-teacher family."""
    return math.exp(-5.0 * (1.0 - min(max(t, 0.0), 1.0)) ** 2)


def linear_ramp(t: float) -> float:
    """T."""
    return min(max(t, 0.0), 1.0)


@dataclass(frozen=True)
class WarmStart:
    """weight ramp(t), t the share of all steps done, over all phases of a method.

    Zero up to `start`, then rising linearly for the share `rise` to `weight`; `rise` 0 is a switch.
    shares: (name, share of all steps) of the phases, in order.
    """

    shares: tuple[tuple[str, float], ...]
    weight: float
    start: float = 0.0
    rise: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.start < 1 and self.rise >= 0 and self.weight >= 0):
            raise HinterlandError(
                f"warm_start={self.start}, ramp={self.rise}, weight={self.weight}: expected a "
                "share of the steps in [0, 1), a share, and a weight, none of them negative."
            )

    def done(self, progress: Progress) -> float:
        """Return the share of all steps that is done, in [0, 1)."""
        done = 0.0
        for name, share in self.shares:
            if name == progress.phase:
                return done + share * progress.fraction
            done += share
        return done

    def strength(self, progress: Progress) -> float:
        """Return the weight of the loss at this step."""
        over = self.done(progress) - self.start
        rise = linear_ramp(over / self.rise) if self.rise > 0 else float(over >= 0)
        return self.weight * rise
