"""Seconds of nnU-Net's own training step on the plan of a run of ours, where nnU-Net is installed.

It is looked for beside Hinterland, and by the Python that HINTERLAND_NNUNET_PYTHON names.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.cell import ROOT
from hinterland.export.nnunet import export_nnunet
from hinterland.networks import create
from hinterland.types import Plan

CLASSES: Mapping[str, int] = {"background": 0, "organ": 1, "lesion": 2}


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
    network = create("unet", plan, len(CLASSES), True)
    export_nnunet(network.state_dict(), "unet", plan, CLASSES, folder / "model")
    rng = np.random.default_rng(0)
    shape = (plan.batch_size, len(plan.channels), *plan.patch_size)
    label = rng.integers(0, len(CLASSES), (shape[0], 1, *shape[2:])).astype(np.int16)
    image = (label + rng.normal(size=shape)).astype(np.float32)
    name = "2d" if plan.dims == 2 else "3d_fullres"
    np.savez(folder / "input.npz", image=image, label=label, configuration=name)
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
