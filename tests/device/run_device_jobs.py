"""Go through the device jobs on the pretended device, in a process of its own; write what was seen.

With `--plant` it is one job, with one fault after the other.

    python run_device_jobs.py OUT.json [--only TEXT] [--dims 2] [--precision bf16] [--plant]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))

import torch
from device_jobs import STEPS, AnyJob, Job, jobs
from pretended_device import DEVICE, Pretence

from hinterland.losses.membership import Membership
from hinterland.losses.segmentation import SegmentationLoss
from hinterland.methods.supervised import Supervised


def look(job: AnyJob, precision: str) -> list[dict[str, Any]]:
    """Run a job; return a row for each of its parts, with waits a step."""
    rows: list[dict[str, Any]] = []
    with Pretence() as seen:
        for part in job.run(DEVICE, precision, seen.clear):
            waits = {f"{what} @ {where}": n / STEPS for (what, where), n in seen.waits.items()}
            rows.append(
                {
                    "job": job.name,
                    "dims": job.dims,
                    "part": part,
                    "waits": sum(waits.values()),
                    "by": waits,
                    "operators": seen.operators / STEPS,
                    "float64": sorted({f"{name} @ {where}" for name, where in seen.doubles}),
                }
            )
    return rows


@contextmanager
def replaced(holder: Any, name: str, value: Any) -> Iterator[None]:
    """Put something else in the place of a function for a while."""
    before = getattr(holder, name)
    setattr(holder, name, value)
    try:
        yield
    finally:
        setattr(holder, name, before)


def faults() -> dict[str, tuple[Any, str, Any]]:
    """Return faults that a device finds out, each with the function it takes the place of."""
    forward, terms, build = Membership.forward, SegmentationLoss.terms, Supervised.build

    def table_on_the_cpu(self: Any, annotation: torch.Tensor) -> Any:
        chosen = self.member.cpu()[annotation]
        return chosen.movedim(-1, 1), forward(self, annotation)[1]

    def mask_on_the_cpu(self: Any, annotation: torch.Tensor) -> Any:
        member, decided = forward(self, annotation)
        return member, decided & torch.ones(decided.shape, dtype=torch.bool)

    def read_by_the_host(self: Any, *given: Any) -> Any:
        found = terms(self, *given)
        return [{n: v for n, v in part.items() if float(v.detach()) == v} for part in found]

    def double(self: Any, levels: Any, annotation: torch.Tensor) -> Any:
        return terms(self, [level.double() for level in levels], annotation)

    def part_left_behind(self: Any, context: Any) -> Any:
        networks = build(self, context)
        head = networks.network._modules.pop("head")
        object.__setattr__(networks.network, "head", head)
        return networks

    return {
        "a table on the CPU": (Membership, "forward", table_on_the_cpu),
        "a mask on the CPU": (Membership, "forward", mask_on_the_cpu),
        "a number that the host reads": (SegmentationLoss, "terms", read_by_the_host),
        "float64": (SegmentationLoss, "terms", double),
        "a part of the network left behind": (Supervised, "build", part_left_behind),
    }


def main() -> None:
    ask = argparse.ArgumentParser()
    ask.add_argument("out", type=Path)
    ask.add_argument("--only", default="")
    ask.add_argument("--dims", type=int, default=0)
    ask.add_argument("--precision", default="bf16")
    ask.add_argument("--plant", action="store_true")
    asked = ask.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    found: list[dict[str, Any]] = []
    chosen = [j for j in jobs() if asked.only in j.name and asked.dims in (0, j.dims)]
    todo: list[tuple[AnyJob, Any]] = [(job, nullcontext()) for job in chosen]
    if asked.plant:
        todo = [(Job(name, 2), replaced(*fault)) for name, fault in faults().items()]
    for job, fault in todo:
        began = time.perf_counter()
        try:
            with fault:
                rows = look(job, asked.precision)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"[:400]
            rows = [{"job": job.name, "dims": job.dims, "error": reason}]
            if asked.only:
                traceback.print_exc()
        found += rows
        for row in rows:
            said = row.get("error") or f"{row['part']:12s} {row['waits']:6.1f} waits a step"
            more = " float64" if row.get("float64") else ""
            spent = time.perf_counter() - began
            sys.stdout.write(f"{row['job']:60s} {row['dims']}D {said}{more} {spent:.1f} s\n")
            sys.stdout.flush()
    asked.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
