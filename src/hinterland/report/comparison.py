"""What a comparison found: a table for a terminal, summary.json for programs."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from hinterland.evaluation.metrics.metric import Shown
from hinterland.evaluation.metrics.registry import metrics_shown
from hinterland.report.format import number
from hinterland.report.protocol.checks import Finding
from hinterland.report.ranking import Ranking
from hinterland.report.results import Result
from hinterland.report.tables import markdown_table
from hinterland.types import HinterlandError


@dataclass(frozen=True)
class Comparison:
    """What was compared and where it was written. `str()` is the headline table for a terminal.

    `parameters` are those of each method's deployed network, None where a run does not say;
    `supports` are rows of `support_dice`.
    """

    out: Path | None
    methods: tuple[str, ...]
    question: str
    unit: str
    results: tuple[Result, ...]
    findings: tuple[Finding, ...]
    rankings: tuple[Ranking, ...] = ()
    parameters: tuple[int | None, ...] = ()
    supports: tuple[dict[Hashable, Any], ...] = ()

    @property
    def report(self) -> Path:
        """The page.

        Raises:
            HinterlandError: nothing was written.
        """
        if self.out is None:
            raise HinterlandError("this comparison was not written; give it a folder `out`.")
        return self.out / "report.html"

    def __str__(self) -> str:
        headline = [r for r in self.results if r.metric in metrics_shown(Shown.HEADLINE)]
        remarks = [f"[{f.code}] {f.message}" for f in self.findings]
        seen = [*self._added(), *self._supports()]
        return "\n".join([markdown_table(headline or self.results, self.unit), *seen, *remarks])

    def _added(self) -> list[str]:
        """Say how many parameters methods have more than the baseline, where all runs know."""
        first, *others = self.parameters or (None,)
        if not first or not others or not all(others):
            return []
        shares = [
            f"{name} {100 * (n / first - 1):+.3f} %"
            for name, n in zip(self.methods[1:], others, strict=True)
            if n
        ]
        return [f"Parameters: {self.methods[0]} {first:,}; {', '.join(shares)}"]

    def _supports(self) -> list[str]:
        """Say in a line a method what it sees of the structures beside the target."""
        told: dict[str, list[str]] = {}
        for row in self.supports:
            text = f"{row['class']} {number(row['mean'], 'dice')}"
            told.setdefault(str(row["method"]), []).append(text)
        return [f"Dice beside the target, {m}: {', '.join(parts)}" for m, parts in told.items()]

    def to_dict(self) -> dict[str, Any]:
        """Return what summary.json holds; values that are not finite become null."""
        return {
            "methods": list(self.methods),
            "baseline": self.methods[0],
            "at": self.question,
            "unit": self.unit,
            "parameters": dict(zip(self.methods, self.parameters, strict=False)),
            "findings": [asdict(f) for f in self.findings],
            "supports": [_finite({str(k): v for k, v in r.items()}) for r in self.supports],
            "rankings": [_finite(asdict(r)) for r in self.rankings],
            "results": [_finite(asdict(r)) for r in self.results],
        }


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """Put null for numbers that JSON does not know."""
    return {k: None if isinstance(v, float) and not isfinite(v) else v for k, v in values.items()}
