"""When a run left the first transient, in which it predicts no foreground, if it ever did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

GROUND = 0.05
"""A run whose last validation Dice is below never took off."""
SHARE = 0.1


def take_off(curve: Sequence[tuple[int, float]]) -> int | None:
    """Return the number of steps until validation Dice first reached a tenth of its final value.

    Args:
        curve: (steps done, Dice) of each validation, in order.

    Returns:
        The steps; None where the final Dice stayed near zero.
    """
    if not curve or not curve[-1][1] >= GROUND:
        return None
    return next(step for step, dice in curve if dice >= SHARE * curve[-1][1])


def validation_curve(log: Path) -> list[tuple[int, float]]:
    """Return (steps done, mean Dice) of each validation in a run's log.csv."""
    table = pd.read_csv(log)
    table = table[table["key"] == "val/dice"]
    return [(int(s) + 1, float(v)) for s, v in zip(table["step"], table["value"], strict=True)]
