"""Seconds of nnU-Net's own training step on the plan of a run of ours, where nnU-Net is installed.

It is looked for beside Hinterland, and by the Python that HINTERLAND_NNUNET_PYTHON names.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.cell import ROOT
from benchmarks.peers.speed import write_input
from hinterland.types import Plan


def nnunet_python() -> str | None:
    """Return a Python that has nnU-Net, or None."""
    if found := os.environ.get("HINTERLAND_NNUNET_PYTHON"):
        return found
    return sys.executable if importlib.util.find_spec("nnunetv2") else None


def time_nnunet(python: str, plan: Plan, folder: Path, steps: int) -> dict[str, Any]:
    """Time `nnUNetTrainer.train_step`: the same batch and network, everything else its own.

    Args:
        python: has nnU-Net.
        plan: of our run.
        folder: to work in.
        steps: how many; the first third warms up and is not counted.

    Returns:
        seconds a step and patches a second; data is in memory on the host, nothing is augmented.
    """
    write_input(folder, plan)
    script = ROOT / "benchmarks" / "peers" / "speed_nnunet.py"
    out = folder / "nnunet.json"
    command = [python, str(script), "train", str(folder / "model"), str(folder / "input.npz"),
               str(out), str(steps), str(os.cpu_count() or 1)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    seconds = json.loads(out.read_text())["seconds"][steps // 3 :]
    each = float(np.mean(seconds))
    return {
        "seconds_a_step": round(each, 5),
        "median": round(float(np.median(seconds)), 5),
        "patches_a_second": round(plan.batch_size / each, 1),
    }
