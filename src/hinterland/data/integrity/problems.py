"""What is wrong with a data set, as a list that can be counted, printed and serialised."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from hinterland.types import HinterlandError

Severity = Literal["error", "warning", "note"]
_SHOWN = 5  # cases printed for one kind of problem


@dataclass(frozen=True)
class Problem:
    """One finding. `code` names its kind; `case` is empty where it concerns the whole data set.

    `others` are more cases that it is about, such as the copies of this one.
    """

    severity: Severity
    code: str
    case: str
    message: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Findings:
    """All findings of one check, errors first."""

    problems: tuple[Problem, ...]
    cases: int = 0

    @classmethod
    def of(cls, problems: Iterable[Problem], cases: int = 0) -> Findings:
        """Sort by severity, then code; findings of one kind keep their order."""
        rank = {"error": 0, "warning": 1, "note": 2}
        return cls(tuple(sorted(problems, key=lambda p: (rank[p.severity], p.code))), cases)

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What must be mended before training."""
        return self._of("error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Problems that are probably mistakes, but do not prevent training."""
        return self._of("warning")

    @property
    def notes(self) -> tuple[Problem, ...]:
        """Remarks that ask for no action before training."""
        return self._of("note")

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not self.errors

    def _of(self, severity: Severity) -> tuple[Problem, ...]:
        return tuple(p for p in self.problems if p.severity == severity)

    @property
    def summary(self) -> str:
        """One line of counts."""
        counts = [
            (len(self.errors), "error"),
            (len(self.warnings), "warning"),
            (len(self.notes), "note"),
        ]
        found = ", ".join(f"{n} {word}{'s' * (n != 1)}" for n, word in counts)
        return f"{self.cases} case{'s' * (self.cases != 1)} checked: {found}"

    def to_dict(self) -> dict[str, Any]:
        """Return the findings in JSON's types."""
        return {
            "cases": self.cases,
            "errors": len(self.errors),
            "warnings": len(self.warnings),
            "notes": len(self.notes),
            "problems": [asdict(p) for p in self.problems],
        }

    def __str__(self) -> str:
        """List every problem on a line of its own.

        Of one kind of warning or note only the first few cases are listed.
        """
        lines: list[str] = []
        shown: dict[tuple[str, str], int] = {}
        for p in self.problems:
            key = (p.severity, p.code)
            shown[key] = shown.get(key, 0) + 1
            if p.severity == "error" or shown[key] <= _SHOWN:
                where = f"{p.case}: " if p.case else ""
                lines.append(f"{p.severity} [{p.code}] {where}{p.message}")
        for (severity, code), count in shown.items():
            if severity != "error" and count > _SHOWN:
                lines.append(f"{severity} [{code}] ... and {count - _SHOWN} more of this kind")
        return "\n".join([*lines, self.summary])

    def raise_errors(self) -> None:
        """Refuse a data set that has errors.

        Raises:
            HinterlandError: there are errors; the message lists them.
        """
        if self.errors:
            messages = [f"{p.case}: {p.message}" if p.case else p.message for p in self.errors]
            more = len(messages) - 10
            tail = [f"... and {more} more; `hinterland check` lists them all."] if more > 0 else []
            raise HinterlandError("\n".join(messages[:10] + tail))
