"""Cells of the benchmarks, many at a time on one GPU, until the time is over."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.__main__ import up_to_date
from benchmarks.harness.cell import RESULTS, ROOT, Cell, ResampledCell, work_root
from benchmarks.harness.registry import load_benchmark


@dataclass(frozen=True)
class Choice:
    """Which cells: of which benchmarks, "benchmark/cell" as one of `only` says, seeds and size."""

    names: Sequence[str]
    only: Sequence[str]
    seeds: int
    size: str

    def pending(self) -> list[tuple[str, Cell]]:
        """The cells without a result, one seed of every benchmark before the next seed."""
        return [
            (name, cell)
            for seed in range(self.seeds)
            for name in self.names
            for cell in load_benchmark(name).cells(self.size, self.seeds)
            if cell.seed == seed
            and (not self.only or any(re.search(p, f"{name}/{cell.name}") for p in self.only))
            and not cell.blocked()
            and not up_to_date(name, self.size, cell)
        ]


def run_cells(choice: Choice, jobs: int, end: float, out: Path) -> dict[str, Any]:
    """Run the pending cells.

    Cells that the end finds running are killed: a further call on the same machine resumes them.
    The result files of all cells go to `out` in one archive.
    """
    pending = choice.pending()
    jobs = jobs or max(1, (os.cpu_count() or 2) - 1)
    print(f"{len(pending)} cells, {jobs} at a time", flush=True)
    prepare_data([cell for _, cell in pending])

    def work(item: tuple[str, Cell]) -> str:
        return run_one(*item, choice, end)

    with ThreadPoolExecutor(jobs) as pool:
        words = Counter(pool.map(work, pending))
    with tarfile.open(out / "results.tar.gz", "w:gz") as archive:
        for name in choice.names:
            if (RESULTS / name / choice.size).is_dir():
                archive.add(RESULTS / name / choice.size, f"{name}/{choice.size}")
    return {"cells": dict(words), "failed": words["failed"]}


def prepare_data(cells: Sequence[Cell]) -> None:
    """Preprocess each data set once with all cores, before many cells ask for it at once."""
    from hinterland.data.preprocessing.cache import prepare

    done = set()
    for cell in cells:
        if not isinstance(cell, ResampledCell):
            continue
        key = (cell.dataset, cell.labels, cell.step, cell.dims, cell.memory)
        if key not in done:
            done.add(key)
            started = time.monotonic()
            data = cell.read()
            prepare(data, cell.plan(data), workers=os.cpu_count())
            print(f"prepared {key} in {time.monotonic() - started:.0f} s", flush=True)


def run_one(name: str, cell: Cell, choice: Choice, end: float) -> str:
    """Run a cell in a process of its own; returns done, failed, stopped or not started."""
    started = time.monotonic()
    if started > end - 20:
        return "not started"
    log = work_root() / name / choice.size / f"{cell.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.harness.run_cell", name, choice.size,
               cell.name, str(choice.seeds)]  # fmt: skip
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    with log.open("w") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, env=environment
        )
        try:
            code = process.wait(timeout=max(1.0, end - started))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = None
    word = "stopped" if code is None else "failed" if code else "done"
    print(f"{word}: {name} {cell.name} in {time.monotonic() - started:.0f} s", flush=True)
    if word == "failed":
        print("    " + "\n    ".join(log.read_text().splitlines()[-12:]), flush=True)
    return word
