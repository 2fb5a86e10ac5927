"""Run one cell in its own process.

python -m benchmarks.harness.run_cell BENCHMARK SIZE NAME SEEDS
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import torch

from benchmarks.harness.cell import RESULTS, work_root
from benchmarks.harness.registry import load_benchmark
from hinterland.training.device import hardware, versions


def result_file(benchmark: str, size: str, name: str) -> Path:
    """Where the result of a cell is kept."""
    return RESULTS / benchmark / size / f"{name}.json"


def work_folder(folder: Path, key: str) -> Path:
    """The cell's own folder. What a cell of another definition left there would be taken for this
    one's unfinished run, so it is removed."""
    mark = folder / "key.txt"
    if folder.is_dir() and (not mark.is_file() or mark.read_text().strip() != key):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(key + "\n")
    return folder


def main(benchmark: str, size: str, name: str, seeds: str) -> None:
    """Run the cell, then write its result under its final name."""
    if threads := os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(int(threads))
    module = load_benchmark(benchmark)
    cell = next(c for c in module.cells(size, int(seeds)) if c.name == name)
    folder = work_folder(work_root() / benchmark / size / name, cell.key)
    started = time.monotonic()
    outcome = cell.run(folder)
    result = {
        "benchmark": benchmark,
        "size": size,
        "name": name,
        "key": cell.key,
        "command": f"python -m benchmarks {benchmark} --size {size} --seeds {seeds}",
        "config": asdict(cell),
        "seed": cell.seed,
        "versions": versions(),
        "hardware": hardware(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - started, 1),
        **outcome,
    }
    target = result_file(benchmark, size, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.write_text(json.dumps(result, default=str), encoding="utf-8")
    temporary.replace(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
