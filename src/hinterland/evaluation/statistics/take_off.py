"""Trainings that never began to learn: a mean over them and the others describes neither."""

from __future__ import annotations

from collections.abc import Mapping

SHARE = 0.1


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
