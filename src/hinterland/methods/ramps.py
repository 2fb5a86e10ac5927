"""Weights that rise with training. `t` is the share of it that is done, cut to [0, 1]."""

from __future__ import annotations

import math


def sigmoid_ramp(t: float) -> float:
    """exp(-5 (1 - t)^2): from 0.0067 to 1, the usual ramp of the mean-teacher family."""
    return math.exp(-5.0 * (1.0 - min(max(t, 0.0), 1.0)) ** 2)


def linear_ramp(t: float) -> float:
    """t."""
    return min(max(t, 0.0), 1.0)
