"""What came out at each moment of a campaign, and the sums of a table's row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.reliability.process import Ended

Check = list[str]
"""What was wrong, in words; nothing if all was right."""


@dataclass
class Moment:
    """One trouble: where it struck, what was wrong after it (nothing: a pass), what it cost."""

    where: str
    wrong: Check = field(default_factory=list)
    seconds: float = 0.0
    peak_mib: float = 0.0
    skipped: str = ""

    def cost(self, ended: Ended) -> Ended:
        """Note what a process took; returns it."""
        self.seconds = round(max(self.seconds, ended.seconds), 2)
        self.peak_mib = round(max(self.peak_mib, ended.peak_mib))
        return ended


def summed(moments: Sequence[Moment]) -> dict[str, Any]:
    """The sums of several moments, and all that went wrong."""
    tried = [m for m in moments if not m.skipped]
    return {
        "moments": len(tried),
        "passes": sum(not m.wrong for m in tried),
        "peak_mib": max((m.peak_mib for m in tried), default=0),
        "longest_s": max((m.seconds for m in tried), default=0),
        "skipped": sorted({m.skipped for m in moments if m.skipped}),
        "wrong": [asdict(m) for m in tried if m.wrong],
    }


def refused(ended: Ended, names: Sequence[str] = ()) -> Check:
    """Check that a command ended with exit code 1 and one message that names one of `names`."""
    wrong = []
    messages = [line for line in ended.error.splitlines() if line.startswith("error:")]
    if ended.code != 1:
        wrong.append(f"exit code {ended.code}, not 1: {ended.last_words}")
    if "Traceback" in ended.error or "Exception" in ended.error:
        wrong.append(f"a traceback: {ended.last_words}")
    if len(messages) != 1:
        wrong.append(f"{len(messages)} messages: {ended.last_words}")
    elif names and not any(name in ended.error for name in names):
        wrong.append(f"the message names none of {', '.join(names)}: {messages[0]}")
    return wrong


def succeeded(ended: Ended) -> Check:
    """Check that a command ended well."""
    return [] if ended.code == 0 else [f"exit code {ended.code}: {ended.last_words}"]
