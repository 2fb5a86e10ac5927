"""Where it is asked for, a test that is skipped is a failure, unless the reason is on a list."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ALLOWED = Path(__file__).resolve().parents[1] / "allowed_skips.txt"


@dataclass(frozen=True)
class Allowed:
    """A line of the list: when it counts, how the reason begins, and why it is allowed."""

    when: str
    reason: re.Pattern[str]
    why: str


def read_allowed(text: str) -> list[Allowed]:
    """Read the list. ValueError for a line without its three parts."""
    found = []
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            when, _, rest = line.partition(" | ")
            reason, _, why = rest.rpartition(" | ")
            if not (when and reason and why):
                raise ValueError(f"{line!r}: expected `when | reason | why`")
            found.append(Allowed(when, re.compile(reason), why))
    return found


def refused(
    skips: Iterable[tuple[str, str]], allowed: Iterable[Allowed], setting: str
) -> list[str]:
    """List the skips (test, reason) that the list does not allow.

    `setting` is HINTERLAND_NO_SKIPS: words after a comma say what the machine lacks.
    """
    lacking = {"always", *setting.split(",")[1:]}
    counting = [a for a in allowed if a.when in lacking]
    return [
        f"{test}: {reason}"
        for test, reason in skips
        if not any(a.reason.match(reason) for a in counting)
    ]
