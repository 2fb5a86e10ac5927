"""When a training left the first transient, in which it predicts no foreground, if it ever did.

A mean over trainings that began to learn and others that never did describes neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

VALIDATION_DICE = "val/dice"
"""Name of the validation Dice in a run's log."""
GROUND = 0.05
"""A run whose last validation Dice is below never took off."""
SHARE = 0.1


def validation_curve(log: pd.DataFrame) -> list[tuple[int, float]]:
    """Return (steps done, mean Dice) of each validation in a run's log.csv."""
    table = log[log["key"] == VALIDATION_DICE]
    dice = pd.to_numeric(table["value"], errors="coerce")
    return [(int(s) + 1, float(v)) for s, v in zip(table["step"], dice, strict=True)]


def take_off(curve: Sequence[tuple[int, float]]) -> int | None:
    """Return the number of steps until validation Dice first reached a tenth of its final value.

    Args:
        curve: (steps done, Dice) of each validation, in order.

    Returns:
        The steps; None where the final Dice stayed near zero.

    Example:
        >>> take_off([(100, 0.01), (200, 0.12), (300, 0.78)])
        200
    """
    if not curve or not curve[-1][1] >= GROUND:
        return None
    return next(step for step, dice in curve if dice >= SHARE * curve[-1][1])


def not_taken_off(best: Mapping[str, float]) -> tuple[str, ...]:
    """Name the runs whose validation Dice never passed a tenth of the best that another reached.

    Args:
        best: run -> the largest validation Dice of its training; NaN where none was measured.

    Example:
        >>> not_taken_off({"seed 0": 0.81, "seed 1": 0.02, "seed 2": 0.78})
        ('seed 1',)
    """
    return tuple(
        name
        for name, value in best.items()
        if any(value < SHARE * other for rival, other in best.items() if rival != name)
    )
