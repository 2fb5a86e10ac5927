"""Options of methods, checked by their types: one message for a value that is not allowed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Annotated, Any, get_type_hints

from hinterland.types import HinterlandError


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; with `above`, larger than `low`; with `whole`, integers."""

    low: float = 0.0
    high: float = math.inf
    above: bool = False
    whole: bool = False

    def __contains__(self, value: object) -> bool:
        """Say whether it is a finite number in range. A truth value is no number."""
        kind = Integral if self.whole else Real
        if not isinstance(value, kind) or isinstance(value, bool):
            return False
        number = float(value)  # type: ignore[arg-type]
        inside = math.isfinite(number) and self.low <= number <= self.high
        return inside and not (self.above and number == self.low)

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        limited = math.isfinite(self.high)
        if self.above:
            return f"{kind} above {self.low:g}" + (f", at most {self.high:g}" if limited else "")
        return f"{kind} " + (
            f"from {self.low:g} to {self.high:g}" if limited else f"of {self.low:g} or more"
        )


class OneOf(tuple[str, ...]):
    """The words that an option may be."""

    def __new__(cls, *words: str) -> OneOf:
        return super().__new__(cls, words)

    def __str__(self) -> str:
        return f"one of {', '.join(self)}"


class SharedOut:
    """Names with shares above 0 that are 1 together at most; what is left has no name."""

    SLACK = 1e-6  # shares such as thirds sum to 1 within this

    def __contains__(self, value: object) -> bool:
        each = Range(high=1.0, above=True)
        if not isinstance(value, Mapping) or not all(share in each for share in value.values()):
            return False
        return self.rest(value) >= -self.SLACK

    @classmethod
    def rest(cls, shares: Mapping[str, float]) -> float:
        """Return what the names leave, 0 where that is less than the slack."""
        left = 1.0 - sum(shares.values())
        return 0.0 if abs(left) <= cls.SLACK else left

    def __str__(self) -> str:
        return (
            "annotation schemes with the share of every batch that is drawn from their cases, "
            "together at most 1, such as --set method.shares.pseudo=0.5"
        )


Shares = Annotated[Mapping[str, float], SharedOut()]
Weight = Annotated[float, Range()]
Positive = Annotated[float, Range(above=True)]
Share = Annotated[float, Range(high=1.0)]
PositiveShare = Annotated[float, Range(high=1.0, above=True)]
Count = Annotated[int, Range(low=1.0, whole=True)]


def check_options(name: str, options: Any) -> None:
    """Check every field of a dataclass whose type limits it.

    `Annotated[str, OneOf(...)]` is one of the words, `Annotated[float, Range(...)]` a number in
    range, and `bool` a truth value; all other fields may be anything.

    Args:
        name: of the method, for the message.
        options: an instance of a dataclass.

    Raises:
        HinterlandError: a value that its field cannot have.
    """
    hints = get_type_hints(type(options), include_extras=True)
    for field in fields(options):
        hint, value = hints[field.name], getattr(options, field.name)
        if hint is bool and value not in (True, False):
            raise HinterlandError(f"{name}: {field.name}={value!r}; expected true or false.")
        for limit in getattr(hint, "__metadata__", ()):
            if value not in limit:
                raise HinterlandError(f"{name}: {field.name}={value!r}; expected {limit}.")
