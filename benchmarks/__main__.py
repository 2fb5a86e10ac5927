"""The runner: `python -m benchmarks NAME --size cpu|paper [--seeds N] [--jobs J | --queue DIR]`.

Runs the cells of a benchmark that have no up-to-date result yet, each in a process of its own (or
by the workers of a queue, on any machines), and
writes benchmarks/RESULTS.md anew from all result files. `python -m benchmarks report` only writes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.harness.cell import ROOT, Cell, work_root
from benchmarks.harness.page import write_page
from benchmarks.harness.registry import load_benchmark
from benchmarks.harness.run_cell import result_file
from hinterland.queue.folder import Queue
from hinterland.queue.request import JobRequest
from hinterland.types import HinterlandError

SIZES = ("smoke", "cpu", "gpu", "paper")


def main() -> int:
    """Parse, run what is missing, write the page. Exit code 1 if a cell failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="+", help="benchmarks, or `report`")
    parser.add_argument("--size", choices=SIZES, default="cpu")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="cells at a time")
    parser.add_argument("--only", default="", help="run only cells whose name matches this pattern")
    parser.add_argument("--until", type=float, default=0, help="start no cell after these minutes")
    parser.add_argument("--queue", default="", help="let the workers of this queue run the cells")
    parser.add_argument("--again", action="store_true", help="also run cells that have a result")
    args = parser.parse_args()
    end = time.monotonic() + args.until * 60 if args.until else float("inf")
    failed = 0
    if args.names != ["report"]:
        failed = run_all(args, end)
    write_page()
    return 1 if failed else 0


def run_all(args: argparse.Namespace, end: float) -> int:
    """Run the pending cells of all named benchmarks, in their order; returns how many failed."""
    pending = []
    for name in args.names:
        module = load_benchmark(name)
        if not hasattr(module, "cells"):
            raise SystemExit(f"{name} has a command of its own: see {module.__name__}.")
        for cell in module.cells(args.size, args.seeds):
            if re.search(args.only, cell.name) and (
                args.again or not up_to_date(name, args.size, cell)
            ):
                pending.append((name, cell))
    if args.queue:
        return run_in_queue(pending, args)
    print(f"{len(pending)} cells to run, {args.jobs} at a time", flush=True)

    def work(item: tuple[str, Cell]) -> bool:
        name, cell = item
        if reason := cell.blocked():
            print(f"not run: {name} {cell.name}: {reason}", flush=True)
            return True
        if time.monotonic() > end:
            print(f"not started (time): {name} {cell.name}", flush=True)
            return True
        started = time.monotonic()
        log = work_root() / name / args.size / f"{cell.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "benchmarks.harness.run_cell", name, args.size, cell.name,
                   str(args.seeds)]  # fmt: skip
        with log.open("w") as file:
            done = subprocess.run(
                command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, env=dict(os.environ),
                check=False,
            )  # fmt: skip
        word = "done" if done.returncode == 0 else f"FAILED ({done.returncode}, see {log})"
        print(f"{word}: {name} {cell.name} in {time.monotonic() - started:.0f} s", flush=True)
        if done.returncode:
            print("    " + "\n    ".join(log.read_text().splitlines()[-4:]), flush=True)
        return done.returncode == 0

    with ThreadPoolExecutor(args.jobs) as pool:
        return sum(not ok for ok in pool.map(work, pending))


def run_in_queue(pending: Sequence[tuple[str, Cell]], args: argparse.Namespace) -> int:
    """Let workers (`hinterland queue work`) run the cells; returns how many failed.

    Their run directories and results must lie where all workers and this process see them.
    """
    queue, jobs = Queue(args.queue), {}
    for name, cell in pending:
        if reason := cell.blocked():
            print(f"not run: {name} {cell.name}: {reason}", flush=True)
            continue
        words = (name, args.size, cell.name, str(args.seeds))
        request = JobRequest(words, str(ROOT), "benchmarks.harness.run_cell")
        jobs[f"{name} {cell.name}"] = queue.add(request, anew=True)
    print(f"{len(jobs)} cells wait: hinterland queue work {args.queue}", flush=True)
    failed = 0
    for named, job in jobs.items():
        try:
            queue.wait([job])
            print(f"done: {named}", flush=True)
        except HinterlandError as error:
            failed += 1
            print(f"FAILED: {named}: {error}", flush=True)
    return failed


def up_to_date(name: str, size: str, cell: Cell) -> bool:
    """Whether a result of exactly this cell is there."""
    file: Path = result_file(name, size, cell.name)
    return file.is_file() and json.loads(file.read_text())["key"] == cell.key


if __name__ == "__main__":
    sys.exit(main())
