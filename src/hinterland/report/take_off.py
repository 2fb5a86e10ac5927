"""Marks for methods of which some runs did not take off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite, nan

from hinterland.evaluation.statistics.take_off import not_taken_off, validation_curve
from hinterland.report.protocol.checks import Finding
from hinterland.report.results import Result
from hinterland.report.runs import Arm, Run


def best_validation(run: Run) -> float:
    """Return the largest validation Dice in a run's log; NaN where there is none."""
    if run.log is None or not {"step", "key", "value"} <= set(run.log.columns):
        return nan
    return max((dice for _, dice in validation_curve(run.log) if isfinite(dice)), default=nan)


def failed_runs(arms: Sequence[Arm]) -> dict[str, tuple[str, ...]]:
    """Find, for each method that has any, the runs that did not take off."""
    best = {str(run.path): best_validation(run) for arm in arms for run in arm.runs}
    failed = set(not_taken_off(best))
    found = {arm.name: tuple(str(r.path) for r in arm.runs if str(r.path) in failed)
             for arm in arms}  # fmt: skip
    return {name: runs for name, runs in found.items() if runs}


def take_off_findings(arms: Sequence[Arm]) -> list[Finding]:
    """Say which runs did not take off, one remark a method."""
    runs_of = {arm.name: len(arm.runs) for arm in arms}
    told = {a.name for a in arms if any(p.took_off is False for p in a.protocols)}
    return [
        Finding(
            "take-off",
            "flag",
            f"{name}: {len(runs)} of {runs_of[name]} runs did not take off ({', '.join(runs)}): "
            "their validation Dice never passed a tenth of what others reach, and the mean is over "
            "both. Look at their curves, train them again with other seeds, or leave them out.",
            runs,
        )
        for name, runs in failed_runs(arms).items()
        if name not in told  # then the protocol checks say so
    ]


def marked(results: Sequence[Result], arms: Sequence[Arm]) -> list[Result]:
    """Return the results with a mark at the methods of which some runs did not take off."""
    failed: Mapping[str, tuple[str, ...]] = failed_runs(arms)
    runs_of = {arm.name: len(arm.runs) for arm in arms}
    return [
        replace(r, mark=f"{len(failed[r.method])} of {runs_of[r.method]} runs did not take off")
        if r.method in failed
        else r
        for r in results
    ]
