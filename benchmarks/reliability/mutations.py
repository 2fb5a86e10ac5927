"""Broken data sets, settings and run folders, one kind at a time, through the command line.

Each kind takes a healthy copy, breaks one thing, and runs one command on it. Demanded: exit 0 or 1
(2: a usage error), one message, never a traceback, at most 2 GB and a minute.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.cell import ROOT, Cell
from benchmarks.reliability import break_files, break_images, break_runs
from benchmarks.reliability.forked import Outcome, run, warm
from benchmarks.reliability.healthy import Healthy, Options, prepare_healthy

TITLE = "Broken data sets and settings"
TEXT = """
Each kind of breakage starts from a healthy small data set (NIfTI with two channels, or PNG) or a
healthy run, changes one thing, and gives the result to the commands that would meet it, each in a
process of its own. A pass is: exit 0 with a result, or exit 1 with a message; no traceback, at most
2 GB of resident memory (0.42 GB of it are imports), at most a minute.
"""

Break = Callable[[Path], object]


@dataclass(frozen=True)
class Kind:
    """One kind of breakage. area: what is broken; commands: what is run on it."""

    area: str
    name: str
    apply: Break
    commands: tuple[str, ...]


def kinds() -> list[Kind]:
    """All kinds, in a fixed order."""
    found: list[Kind] = []
    for module in (break_files, break_images, break_runs):
        for (area, commands), breaks in module.BREAKS.items():
            found += [Kind(area, name, apply, commands) for name, apply in breaks.items()]
    return found


def trial(kind: Kind, healthy: Healthy, folder: Path) -> list[tuple[str, Outcome]]:
    """Break a copy and run the kind's commands."""
    target = folder / "set"
    source = healthy.source(kind.area)
    shutil.copytree(source, target, symlinks=True)
    made = kind.apply(target)
    options = made if isinstance(made, Options) else Options()
    return [(c, run(healthy.command(c, kind.area, target, folder, options))) for c in kind.commands]


@dataclass(frozen=True)
class MutationCell(Cell):
    """All kinds of one area; `arm` is the area."""

    def run(self, folder: Path) -> dict[str, Any]:
        os.environ["HINTERLAND_CACHE"] = str(folder / "cache")
        warm()
        healthy = prepare_healthy(folder / "healthy")
        rows = []
        for kind in kinds():
            if kind.area != self.arm:
                continue
            work = Path(tempfile.mkdtemp(dir=folder))
            for command, outcome in trial(kind, healthy, work):
                rows.append(
                    {"area": kind.area, "kind": kind.name, "command": command,
                     "exit": outcome.code, "seconds": outcome.seconds,
                     "gigabytes": outcome.gigabytes, "faults": outcome.faults}
                )  # fmt: skip
            shutil.rmtree(work, ignore_errors=True)
        return {"trials": rows}


def cells(size: str, seeds: int) -> list[Cell]:
    """One cell for each area; they have no seeds."""
    return [MutationCell(area, 0, "mutations") for area in dict.fromkeys(k.area for k in kinds())]


def section() -> str:
    """The table: by area, kinds, commands, passes, exits, peak memory and longest time."""
    folder = ROOT / "benchmarks" / "results" / "mutations" / "cpu"
    files = [folder / f"{cell.name}.json" for cell in cells("cpu", 1)]
    done = [json.loads(file.read_text()) for file in files if file.is_file()]
    lines = [f"## {TITLE}", "", TEXT.strip(), "", "`python -m benchmarks mutations --size cpu`", ""]
    if not done:
        return "\n".join([*lines, f"not run ({len(kinds())} kinds defined)", ""])
    return "\n".join([*lines, table([t for result in done for t in result["trials"]]), ""])


def table(trials: list[dict[str, Any]]) -> str:
    """A line for each area and one for all."""
    lines = [
        "| what is broken | kinds | commands run | passes | exit 0 | exit 1 | usage (2) | peak GB |"
        " longest s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    areas = list(dict.fromkeys(t["area"] for t in trials))
    for area in [*areas, "all"]:
        own = [t for t in trials if area in (t["area"], "all")]
        exits = Counter(t["exit"] for t in own)
        lines.append(
            f"| {area} | {len({(t['area'], t['kind']) for t in own})} | {len(own)} | "
            f"{sum(not t['faults'] for t in own)} | {exits[0]} | {exits[1]} | {exits[2]} | "
            f"{max(t['gigabytes'] for t in own):.2f} | {max(t['seconds'] for t in own):.1f} |"
        )
    return "\n".join(lines)
