"""Cells of the benchmarks, many at a time on one GPU, until the time is over."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.__main__ import up_to_date
from benchmarks.harness.cell import RESULTS, ROOT, Cell, ResampledCell, work_root
from benchmarks.harness.registry import load_benchmark


def run_cells(
    names: Sequence[str], only: Sequence[str], seeds: int, jobs: int, tiny: bool, end: float,
    out: Path,
) -> dict[str, Any]:  # fmt: skip
    """Run the pending cells, one seed of every benchmark before the next seed.

    Cells that the end finds running are killed: a further call on the same machine resumes them.
    The result files of all cells go to `out` in one archive.
    """
    size = "smoke" if tiny else "gpu"
    pending = [
        (name, cell)
        for seed in range(seeds)
        for name in names
        for cell in load_benchmark(name).cells(size, seeds)
        if cell.seed == seed and all(part in cell.name for part in only)
        and not up_to_date(name, size, cell)
    ]  # fmt: skip
    jobs = jobs or max(1, (os.cpu_count() or 2) - 1)
    print(f"{len(pending)} cells, {jobs} at a time", flush=True)
    prepare_data([cell for _, cell in pending])

    def work(item: tuple[str, Cell]) -> str:
        return run_one(*item, size, seeds, end)

    with ThreadPoolExecutor(jobs) as pool:
        words = Counter(pool.map(work, pending))
    with tarfile.open(out / "results.tar.gz", "w:gz") as archive:
        for name in names:
            if (RESULTS / name / size).is_dir():
                archive.add(RESULTS / name / size, f"{name}/{size}")
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


def run_one(name: str, cell: Cell, size: str, seeds: int, end: float) -> str:
    """Run a cell in a process of its own; returns done, failed, stopped or not started."""
    started = time.monotonic()
    if started > end - 20:
        return "not started"
    log = work_root() / name / size / f"{cell.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.harness.run_cell", name, size, cell.name,
               str(seeds)]  # fmt: skip
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
