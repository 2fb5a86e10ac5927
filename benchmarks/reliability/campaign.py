"""Real-world trouble: processes killed, disks full, clocks wrong, two at once, nothing writable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.cell import Cell
from benchmarks.reliability.moments import summed
from benchmarks.reliability.process import warm_up
from benchmarks.reliability.subjects import SUBJECTS, prepare
from benchmarks.reliability.troubles import TROUBLES, undisturbed

TITLE = "Reliability under real-world trouble"
TEXT = """
Each command works on tiny phantoms (four patients, a network of two levels, a few steps) and is
struck at seeded moments. `kill`: signal 9 to its whole process group at moments spread evenly over
its duration. `kill-at-operation`: the same right before it opens a file for writing, renames or
removes one. `disk-full`: its output and cache on a file system that holds a part of what it needs.
`two-at-once`: the same command started twice. `clock-jumps`: every look at the wall clock is years
off. `read-only`: all inputs, then output and cache, on a file system that cannot be written to. A
pass means: no file under its final name was half-written; where the command ended, it did so with
exit code 1 and one message that names the place, without a traceback; the same command again (or
`resume`, where a run was begun) ended with exit code 0 (1 and the name of the scan, where one of
twelve is truncated) and with the bytes of an undisturbed run in
every file, cache included, nothing missing and nothing left over. Not compared: TensorBoard's
events, `seconds_training`, the date of a report and of a provenance. Peak memory is of the largest
process, a warm Python with torch among it (about 500 MiB); times are of one command.
"""
KINDS = {
    "kill": (22, 14, 10, 12, 14, 14, 14, 20),
    "kill-at-operation": (8, 16, 8, 4, 6, 20, 6, 20),
    "disk-full": (6, 3, 2, 2, 2, 2, 3, 0),
    "two-at-once": (2, 3, 2, 1, 2, 3, 1, 0),
    "clock-jumps": (1, 2, 2, 1, 2, 2, 1, 0),
    "read-only": (2, 2, 2, 2, 2, 2, 2, 0),
}
"""Trouble -> moments for each subject."""


@dataclass(frozen=True)
class TroubleCell(Cell):
    """All kinds of trouble for one command; `moments` of each, by kind."""

    moments: tuple[tuple[str, int], ...] = ()

    def run(self, folder: Path) -> dict[str, Any]:
        warm_up()
        bench, subject = prepare(folder), SUBJECTS[self.arm]
        whole = undisturbed(subject, bench)
        measured = {}
        for kind, count in self.moments:
            if not count:
                continue
            found = []
            for moment in TROUBLES[kind](subject, bench, whole, count, self.seed):
                print(kind, moment, flush=True)
                found.append(moment)
            measured[kind] = summed(found)
        return {"measured": measured}


def cells(size: str, seeds: int) -> list[Cell]:
    """A cell for every command; a moment of each kind for a smoke test."""
    del seeds
    most = 1 if size == "smoke" else max(max(n) for n in KINDS.values())
    counts = {kind: [min(n, most) for n in each] for kind, each in KINDS.items()}
    return [
        TroubleCell(name, moments=tuple((kind, count[i]) for kind, count in counts.items()))
        for i, name in enumerate(SUBJECTS)
    ]


def page(size: str, all_cells: Sequence[Cell], results: Mapping[str, Mapping[str, Any]]) -> str:
    """A row for each kind of trouble and command, and the sums of each kind."""
    del size
    lines = [
        "| kind | command | moments | passes | peak MiB | longest, s |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    notes: list[str] = []
    for kind in KINDS:
        found = {c.arm: results[c.name]["measured"] for c in all_cells if c.name in results}
        rows = {command: kinds[kind] for command, kinds in found.items() if kind in kinds}
        lines += [_row(kind, command, [row]) for command, row in rows.items()]
        lines.append(_row(f"**{kind}**", "all", list(rows.values())))
        for command, row in rows.items():
            notes += [f"{kind}, {command}: skipped, {why}." for why in row["skipped"]]
            wrong = [(m["where"], "; ".join(m["wrong"])) for m in row["wrong"]]
            notes += [f"{kind}, {command}, {where}: {what}." for where, what in wrong]
    return "\n".join([*lines, *([""] if notes else []), *(f"- {note}" for note in notes)])


def _row(kind: str, command: str, rows: Sequence[Mapping[str, Any]]) -> str:
    moments, passes = (sum(r[key] for r in rows) for key in ("moments", "passes"))
    peak, longest = (max(r[key] for r in rows) for key in ("peak_mib", "longest_s"))
    return f"| {kind} | {command} | {moments} | {passes} | {peak} | {longest:.1f} |"
