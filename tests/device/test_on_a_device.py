"""Everything that trains or predicts, on a device that pretends to be a GPU.

`waits.json` says how often the host waits for the device in a step of each job. The numbers may
fall, not rise: write them anew with

    python tests/device/run_device_jobs.py tests/device/waits.json
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch.utils.backend_registration as registration

HERE = Path(__file__).parent
MOST = 4  # waits in a step of training
pytestmark = pytest.mark.skipif(
    not hasattr(registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch has no way to write a device in Python (2.9 and later have)",
)


def seen(out: Path, *options: str) -> list[dict[str, Any]]:
    command = [sys.executable, str(HERE / "run_device_jobs.py"), str(out), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(out.read_text())


def key(row: dict[str, Any]) -> tuple[str, int, str]:
    return row["job"], row["dims"], row["part"]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return seen(tmp_path_factory.mktemp("device") / "rows.json")


def test_nothing_mixes_devices(rows):
    assert len(rows) > 100
    assert not [row for row in rows if "error" in row]


def test_nothing_is_float64_on_the_device(rows):
    assert not {f"{row['job']}: {row['float64']}" for row in rows if row.get("float64")}


def test_the_host_waits_no_more_than_it_did(rows):
    allowed = {key(row): row["waits"] for row in json.loads((HERE / "waits.json").read_text())}
    ran = [row for row in rows if "error" not in row]
    assert not {key(row) for row in ran} ^ set(allowed), "write waits.json anew"
    assert not {key(r): r["by"] for r in ran if r["waits"] > allowed[key(r)]}
    training = [r for r in ran if not r["job"].startswith(("predict", "resume"))]
    assert not {key(r): r["by"] for r in training if r["waits"] > MOST}


def test_a_step_of_many_classes_fits_into_eight_gigabytes():
    """118 classes, two patches of 128^3, nnU-Net's widths: 21.7 GB when losses held tables."""
    command = [sys.executable, str(HERE / "measure_memory.py"), "--classes", "118"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert 4 < json.loads(done.stdout)["peak_gb"] < 8


def test_planted_faults_are_caught(tmp_path):
    found = {row["job"]: row for row in seen(tmp_path / "planted.json", "--plant")}
    assert len(found) == 5
    for name in ("a table on the CPU", "a mask on the CPU"):
        assert "Mixed" in found[name]["error"]
        assert "losses/partition.py" in found[name]["error"], "the line of the package"
    assert "error" in found["a part of the network left behind"]
    assert found["a number that the host reads"]["waits"] > MOST
    assert found["float64"]["float64"]
