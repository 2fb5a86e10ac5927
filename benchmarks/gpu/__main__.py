"""One call on a machine with a GPU: `python -m benchmarks.gpu --minutes 9 --out DIR`.

Pieces, in this order, each written to DIR as soon as it is there, so that a call which ends early
leaves what it has: `matrix` (one step of everything on the GPU against the CPU), `steps` (seconds a
step of each way to feed the GPU) and `cells` (cells of the benchmarks at size `gpu`, as many at a
time as there are cores, until the time is over; a further call goes on with those that are
missing). Without a GPU, `--tiny` runs the same code on the CPU at its smallest size.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from benchmarks.gpu.cells import Choice, run_cells
from benchmarks.gpu.matrix import run_matrix
from benchmarks.gpu.steps import run_steps
from hinterland.training.device import hardware, versions

PIECES = ("matrix", "steps", "cells")


def main() -> int:
    """Run the pieces that were asked for. Exit code 1 if one of them failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--pieces", nargs="+", choices=PIECES, default=list(PIECES))
    parser.add_argument("--names", nargs="+", default=["semi_plateau", "race"], help="benchmarks")
    parser.add_argument(
        "--only",
        nargs="*",
        default=[],
        help="cells that one of these patterns finds in BENCHMARK/CELL",
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=0, help="cells at a time; 0: one a core")
    parser.add_argument("--tiny", action="store_true", help="smallest sizes, on any machine")
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes
    args.out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for piece in args.pieces:
        started = time.monotonic()
        if piece == "matrix":
            found = run_matrix(args.tiny, min(end, started + 120))
        elif piece == "steps":
            found = run_steps(args.tiny)
        else:
            choice = Choice(args.names, args.only, args.seeds, "smoke" if args.tiny else "gpu")
            found = run_cells(choice, args.jobs, end, args.out)
        found |= {"hardware": hardware(), "versions": versions()}
        found["seconds"] = round(time.monotonic() - started, 1)
        (args.out / f"{piece}.json").write_text(json.dumps(found, indent=1, default=str))
        failed += found["failed"]
        print(f"{piece}: {found['seconds']} s, {found['failed']} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
