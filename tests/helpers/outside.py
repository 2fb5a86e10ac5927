"""Run the command line in a process that finds the package in tests/outside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

OUTSIDE = Path(__file__).resolve().parents[1] / "outside"


def run_outside(
    *arguments: object, code: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `hinterland` with these arguments; the exit code must be `code`."""
    path = os.pathsep.join([str(OUTSIDE), *filter(None, [os.environ.get("PYTHONPATH")])])
    result = subprocess.run(
        [sys.executable, "-c", "from hinterland.cli.main import main; main()",
         *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, **environment}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert result.returncode == code, result.stderr
    return result
