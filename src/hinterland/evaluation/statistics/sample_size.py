"""How many cases a test set needs: for an interval of given width, or to show a difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from hinterland.evaluation.statistics.published import dice_sd
from hinterland.evaluation.statistics.statistics import patients_of
from hinterland.types import HinterlandError

_MOST = 1_000_000


def cases_for_width(sd: float, width: float, level: float = 0.95) -> int:
    """Return the number of cases with which a mean's t interval is as narrow as asked.

    The least n with 2 t_(1 - alpha/2, n-1) sd / sqrt(n) <= width.

    Args:
        sd: standard deviation of the metric over cases.
        width: of the whole interval, in the metric's unit.
        level: its coverage, in 0..1.

    Returns:
        Cases (patients, where they have several scans).

    Raises:
        HinterlandError: a number that is not positive, or more than a million cases.

    Example:
        >>> cases_for_width(sd=0.2, width=0.1)
        64
    """
    from scipy.special import stdtrit

    _positive(sd=sd, width=width, level=level, one_minus_level=1 - level)
    return _least(lambda n: 2 * stdtrit(n - 1, (1 + level) / 2) * sd / n**0.5 <= width)


def power_of(difference: float, sd: float, cases: int, alpha: float = 0.05) -> float:
    """Return the power of the two-sided paired t-test, by the non-central t distribution.

    Args:
        difference: that there is.
        sd: standard deviation of the paired differences over cases.
        cases: how many.
        alpha: the level of the test.

    Returns:
        How probable it is that the test finds the difference, in 0..1.

    Example:
        >>> round(power_of(0.03, sd=0.1, cases=90), 2)
        0.8
    """
    from scipy.stats import nct, t

    limit = t.ppf(1 - alpha / 2, cases - 1)
    shift = abs(difference) / sd * cases**0.5
    return float(nct.sf(limit, cases - 1, shift) + nct.cdf(-limit, cases - 1, shift))


def cases_for_difference(
    difference: float, sd: float, power: float = 0.8, alpha: float = 0.05
) -> int:
    """Return the number of cases on which a paired test shows a difference.

    By the paired t-test; the signed-rank test needs at most 16 % more (its efficiency is never
    below .864), and about 5 % more where differences are normal.

    Args:
        difference: to be shown.
        sd: standard deviation of the paired differences over cases.
        power: how probable it shall be to show it, in 0..1.
        alpha: the level of the test.

    Returns:
        Cases (patients, where they have several scans).

    Raises:
        HinterlandError: a number that is not positive, or more than a million cases.

    Example:
        >>> cases_for_difference(0.03, sd=0.1)
        90
    """
    _positive(difference=abs(difference), sd=sd, power=power, one_minus_power=1 - power)
    return _least(lambda n: power_of(difference, sd, n, alpha) >= power)


@dataclass(frozen=True)
class SampleSize:
    """How many cases are needed, the standard deviation that says so, and both in a sentence."""

    cases: int
    sd: float
    sentence: str


def advise_sample_size(
    tables: Sequence[pd.DataFrame] = (),
    *,
    width: float | None = None,
    difference: float | None = None,
    sd: float | None = None,
    mean: float | None = None,
    metric: str = "dice",
    power: float = 0.8,
) -> SampleSize:
    """Find how many cases an interval or a difference needs, from pilot results or a given spread.

    Args:
        tables: of metrics; one for `width`, two of the same cases for `difference`.
        width: of the interval of a mean; this or `difference`.
        difference: between two methods.
        sd: in place of tables, of the cases or of the paired differences.
        mean: in place of tables, for `width`: of Dice (see `dice_sd`).
        metric: the tables' column.
        power: how probable it shall be to show the difference.

    Returns:
        The advice.

    Raises:
        HinterlandError: not one question and one source, tables that do not fit it.
    """
    if (width is None) == (difference is None):
        raise HinterlandError("say what is wanted: --width of an interval, or a --difference.")
    if (len(tables) > 0) + (sd is not None) + (mean is not None) != 1:
        raise HinterlandError("say where the spread comes from: tables, --sd, or --mean.")
    if mean is not None and width is None:
        raise HinterlandError("--mean says nothing of paired differences; give two tables or --sd.")
    needed = 1 if difference is None else 2
    if tables and len(tables) != needed:
        raise HinterlandError(
            f"{len(tables)} tables were given; expected one for --width, two of the same cases for "
            "--difference."
        )
    if sd is None:
        sd = _spread(tables, metric) if mean is None else dice_sd(mean)
    if width is not None:
        cases = cases_for_width(sd, width)
        what = f"an interval {width:g} wide"
    else:
        assert difference is not None
        cases = cases_for_difference(difference, sd, power)
        what = f"showing a difference of {difference:g} with a probability of {power:g}"
    sentence = f"{what} needs {cases} cases, at a standard deviation of {sd:.3f}"
    return SampleSize(cases, sd, sentence)


def _spread(tables: Sequence[pd.DataFrame], metric: str) -> float:
    """Return the SD over patients of a metric, or of the difference of two tables."""
    values = []
    for table in tables:
        if metric not in table.columns:
            raise HinterlandError(
                f"a table has no column {metric!r}; it has {list(table.columns)}."
            )
        cases = table.groupby("case", sort=True)[metric].mean()
        names = [str(case) for case in cases.index]
        values.append(cases.groupby(patients_of(table, names)).mean())
    if len({tuple(v.index) for v in values}) > 1:
        odd = sorted(set(map(str, values[0].index)) ^ set(map(str, values[1].index)))
        raise HinterlandError(
            f"the two tables hold different cases ({len(odd)} are in one only, the first is "
            f"{odd[0]!r}); paired differences need both. Evaluate the same cases with both models."
        )
    spread = (values[-1] - values[0] if len(values) > 1 else values[0]).std(ddof=1)
    if not spread > 0:
        raise HinterlandError(
            f"the tables' {metric} has no spread over {len(values[0])} patients; give --sd."
        )
    return float(spread)


def _least(enough: Callable[[int], bool]) -> int:
    """Find the least number, from 2 on, that is enough, by doubling and halving."""
    high = 2
    while not enough(high):
        high *= 2
        if high > _MOST:
            raise HinterlandError(
                f"more than {_MOST:,} cases would be needed; ask for a wider interval or a larger "
                "difference."
            )
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _positive(**numbers: float) -> None:
    for name, number in numbers.items():
        if not number > 0:
            raise HinterlandError(f"{name.replace('_', ' ')} is {number:g}; expected more than 0.")
