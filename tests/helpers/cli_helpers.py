"""What the tests of the command line share."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import Result

FAST = [
    "--set", "network_options.features=[4, 8]", "--set", "batch_size=2", "--set",
    "validation.mirror=false",
]  # fmt: skip


def as_json(result: Result) -> dict[str, Any]:
    """What a machine reads: stdout must be one JSON object and nothing else."""
    return json.loads(result.stdout)
