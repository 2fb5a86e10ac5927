"""Two processes equal one with the doubled batch, on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hinterland.training.checkpoint import load_checkpoint

SCRIPT = Path(__file__).parent / "training_script.py"


@pytest.mark.slow
def test_two_processes_equal_one_with_the_doubled_batch(phantoms, tmp_path):
    """Ten steps, InstanceNorm, no dropout, float32: weights agree to 1e-5."""
    for out, batch, devices in (("one", "4", "1"), ("two", "2", "2")):
        command = [sys.executable, str(SCRIPT), str(phantoms.root), str(tmp_path / out), "train",
                   batch, devices]  # fmt: skip
        subprocess.run(command, env=dict(os.environ), timeout=300, check=True)
    one, two = (
        load_checkpoint(tmp_path / out / "checkpoints" / "last.ckpt") for out in ("one", "two")
    )
    assert one["step"] == two["step"] == 10
    worst = max(
        float((value - two["networks"][name]).abs().max())
        for name, value in one["networks"].items()
    )
    assert worst < 1e-5
    assert one["best"][0] == pytest.approx(two["best"][0], abs=1e-3)
