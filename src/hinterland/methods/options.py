"""Options of methods, checked: one message for a value that cannot be meant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real

from hinterland.types import HinterlandError


def require_one_of(name: str, options: object, **allowed: Sequence[str]) -> None:
    """HinterlandError unless each of these attributes of `options` is one of the words allowed.

    name: of the method, for the message.
    """
    for field, words in allowed.items():
        value = getattr(options, field)
        if value not in words:
            raise HinterlandError(f"{name}: {field}={value!r}; expected one of {', '.join(words)}.")


def require_numbers(
    name: str,
    options: object,
    *fields: str,
    low: float = 0.0,
    high: float = math.inf,
    above: bool = False,
    whole: bool = False,
) -> None:
    """HinterlandError unless each of these attributes of `options` is a finite number in range.

    name: of the method, for the message. Between `low` and `high`; with `above`, larger than `low`;
    with `whole`, an integer. A truth value is no number.
    """
    kind = Integral if whole else Real
    for field in fields:
        value = getattr(options, field)
        number = isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value)
        if not number or not low <= value <= high or (above and value == low):
            raise HinterlandError(
                f"{name}: {field}={value!r}; expected a {'whole ' if whole else ''}number "
                f"{_range(low, high, above)}."
            )


def _range(low: float, high: float, above: bool) -> str:
    if above:
        return f"above {low:g}" + (f", at most {high:g}" if math.isfinite(high) else "")
    return f"from {low:g} to {high:g}" if math.isfinite(high) else f"of {low:g} or more"
