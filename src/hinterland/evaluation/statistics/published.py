"""Intervals for published means: what a paper's mean Dice over n cases leaves open."""

from __future__ import annotations

from dataclasses import dataclass

from hinterland.types import HinterlandError

DICE_SD = (-0.630, 0.558, 0.060)
"""Coefficients of m^2, m and 1 in the SD of Dice over cases, m its mean: fitted to the 827 pairs of
mean and SD of this project's own runs (root mean square error .05); tests fit it again."""


@dataclass(frozen=True)
class PublishedInterval:
    """A published mean with its interval, and the SD that it rests on."""

    mean: float
    low: float
    high: float
    sd: float
    reported: bool


def dice_sd(mean: float) -> float:
    """Return the standard deviation over cases that goes with a mean Dice.

    Papers mostly report a mean alone; over many of them the SD is a polynomial of second order of
    the mean (Christodoulou et al., MICCAI 2024, arXiv 2409.17763). The form is theirs, the
    coefficients are fitted to our own runs. Of one paper the SD may be off by a third.

    Args:
        mean: of Dice, in 0..1.

    Returns:
        The SD, at least .01.

    Raises:
        HinterlandError: the mean is not in 0..1; Dice in per cent is to be divided by 100.

    Example:
        >>> round(dice_sd(0.7), 2)
        0.14
    """
    if not 0 <= mean <= 1:
        raise HinterlandError(
            f"the mean Dice is {mean:g}; expected 0 to 1 (divide per cent by 100)."
        )
    square, linear, constant = DICE_SD
    return max(square * mean**2 + linear * mean + constant, 0.01)


def published_interval(
    mean: float, cases: int, sd: float | None = None, level: float = 0.95
) -> PublishedInterval:
    """Reconstruct the interval of a published mean Dice: mean +- t_(1 - alpha/2, n-1) SD / sqrt(n).

    Args:
        mean: as published, in 0..1.
        cases: n, over which it was taken; patients, where they have several scans.
        sd: over cases, where the paper reports it; default, `dice_sd` of the mean.
        level: coverage of the interval, in 0..1.

    Returns:
        The interval, within 0..1.

    Raises:
        HinterlandError: fewer than two cases, a mean outside of 0..1, an SD that is not positive.

    Example:
        >>> found = published_interval(0.784, cases=50)
        >>> round(found.low, 2), round(found.high, 2)
        (0.75, 0.82)
    """
    from scipy.special import stdtrit

    if cases < 2:
        raise HinterlandError(f"an interval needs two cases or more, not {cases}.")
    if sd is not None and not sd > 0:
        raise HinterlandError(f"the standard deviation is {sd:g}; expected more than 0.")
    likely = dice_sd(mean)
    spread = likely if sd is None else sd
    half = float(stdtrit(cases - 1, (1 + level) / 2)) * spread / cases**0.5
    return PublishedInterval(
        mean, max(mean - half, 0.0), min(mean + half, 1.0), spread, sd is not None
    )
