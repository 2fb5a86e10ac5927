"""Metrics against the tools that the field uses: agreement, time, memory (page only).

The measurements are made by `python -m benchmarks.peers.metrics` and
`python -m benchmarks.peers.metrics_agreement`.
"""

from __future__ import annotations

import json
from typing import Any

from benchmarks.harness.cell import RESULTS

TITLE = "Metrics: agreement, speed and memory"
INTRODUCTION = """
Dice, HD95, ASSD and NSD of five classes on one phantom of CT
size, each tool in a process of its own on the same label maps. Processor seconds are what counts
where the machine was shared (the load is given).
"""


def section() -> str:
    """Agreement, then speed at both sizes."""
    lines = [f"## {TITLE}", "", INTRODUCTION.strip(), ""]
    for size in ("cpu", "paper"):
        file = RESULTS / f"metrics-{size}.json"
        lines += [f"### `python -m benchmarks.peers.metrics --size {size}`", ""]
        lines += _speed(json.loads(file.read_text())) if file.is_file() else ["not run"]
        lines.append("")
    file = RESULTS / "agreement.json"
    lines += ["### `python -m benchmarks.peers.metrics_agreement`", ""]
    if not file.is_file():
        return "\n".join([*lines, "not run", ""])
    lines += ["| masks | pairs | tool | metric | largest difference | tolerance |",
              "|" + " --- |" * 6]  # fmt: skip
    for row in json.loads(file.read_text())["agreement"]:
        lines.append(
            f"| {row['masks']} | {row['pairs']} | {row['tool']} | {row['metric']} "
            f"| {row['largest_difference']:.2g} | {row['tolerance']} |"
        )
    return "\n".join([*lines, ""])


def _speed(result: dict[str, Any]) -> list[str]:
    tools = result["tools"]
    ours = tools["hinterland, 1 thread"]
    lines = [
        "| tool | wall s | processor s | processor s over ours (1 thread) | peak MiB |",
        "|" + " --- |" * 5,
    ]
    for name, tool in tools.items():
        lines.append(
            f"| {name} | {tool['seconds']:.3f} | {tool['cpu_seconds']:.3f} "
            f"| {tool['cpu_seconds'] / ours['cpu_seconds']:.1f} | {tool['peak_mib']:.0f} |"
        )
    shape, hardware = result["config"]["shape"], result["hardware"]
    note = f"{shape} voxels; {hardware['processor']}, {hardware['cores']} cores, load "
    return [*lines, "", note + f"{hardware['load']:.1f}; {result['date']}."]
