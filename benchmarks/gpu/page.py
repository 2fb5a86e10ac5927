"""The section of RESULTS.md on GPUs, from what `python -m benchmarks.gpu` wrote."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.gpu.matrix import AGREE
from benchmarks.harness.cell import RESULTS

TITLE = "On a GPU"
TEXT = """
`python -m benchmarks.gpu` on a machine with a GPU; the files it writes go to
`benchmarks/results/gpu`. The same step of the same weights and batch on the GPU and on the CPU, in
float32 without TF32; then seconds a step of whole training runs on phantoms, data included. The
recipe is `fast`.
"""


def section() -> str:
    """What is there of the matrix and the step times."""
    lines = [f"## {TITLE}", "", TEXT.strip(), ""]
    for name, render in (("matrix", _matrix), ("steps", _steps)):
        file = RESULTS / "gpu" / f"{name}.json"
        if not file.is_file():
            lines += [f"{name}: not run", ""]
            continue
        found = json.loads(file.read_text())
        lines += [*render(found["rows"]), ""]
        hardware = found["hardware"]
        lines += [f"{hardware['gpu'] or hardware['cpu']}, torch {found['versions']['torch']}.", ""]
    return "\n".join(lines)


def _matrix(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Count what ran; name what failed and what differs from the CPU."""
    status = Counter(r["status"] for r in rows)
    compared = [r for r in rows if isinstance(r.get("relative"), float)]
    apart = sorted({r["job"] for r in compared if r["relative"] > AGREE})
    close = [r["relative"] for r in compared if r["relative"] <= AGREE]
    jobs = len({r["job"] for r in rows})
    counts = ", ".join(f"{n} {word}" for word, n in sorted(status.items()))
    lines = [
        f"{jobs} jobs (methods, options, regularisers, networks, recipes; 2D and 3D), in every "
        f"phase, in float32 and bf16: {counts}."
    ]
    if close:
        lines.append(
            f"{len(close)} of {len(compared)} losses in float32 agree with the CPU's: median "
            f"relative difference {median(close):.1e}, largest {max(close):.1e}."
        )
    if apart:
        lines.append(
            "The others draw random numbers (dropout, noise, places) on the device: "
            + ", ".join(apart) + "."
        )  # fmt: skip
    lines += [f"- failed: {r['job']}: {r['error']}" for r in rows if r["status"] == "failed"]
    return lines


def _steps(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = [
        "| shape | way | seconds a step | patches a second | peak GPU MiB |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        figures = ("seconds_a_step", "patches_a_second", "peak_mib")
        found = [str(row.get(k, row.get("error", ""))) for k in figures]
        lines.append(f"| {row['shape']} | {row['way']} | " + " | ".join(found) + " |")
    return lines
