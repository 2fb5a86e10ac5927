"""A few seeded moments of the reliability campaign, and that it sees what it looks for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

NEEDS = "needs the repository's benchmarks/"
campaign = pytest.importorskip("benchmarks.reliability.campaign", reason=NEEDS)
moments = import_module("benchmarks.reliability.moments")
snapshots = import_module("benchmarks.reliability.snapshot")
Ended = import_module("benchmarks.reliability.process").Ended

ROOT = Path(__file__).parents[1]
# In a process of its own: a fork of this one would inherit torch's threads as they are here.
FEW = """
import json, sys
from pathlib import Path
from benchmarks.reliability.campaign import TroubleCell

asked = {
    "supports": (("kill", 2), ("kill-at-operation", 3), ("two-at-once", 1)),
    "predict": (("kill-at-operation", 3), ("two-at-once", 1)),
    "evaluate": (("kill", 1), ("clock-jumps", 1)),
    "predict 12, one truncated": (("kill", 1), ("kill-at-operation", 2)),
}
found = {n: TroubleCell(n, moments=m).run(Path(sys.argv[1]))["measured"] for n, m in asked.items()}
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_commands_that_are_killed_or_not_alone_end_with_the_same_bytes(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FEW, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    rows = {(name, kind): row for name, kinds in found.items() for kind, row in kinds.items()}
    assert sum(row["moments"] for row in rows.values()) == 15
    assert {place: row["wrong"] for place, row in rows.items() if row["wrong"]} == {}


def test_a_hundred_moments_of_kills_twenty_of_a_folder_and_twenty_full_disks():
    *cells, folder = campaign.cells("cpu", 3)
    assert dict(folder.moments)["kill"] == 20
    total = {kind: sum(dict(c.moments)[kind] for c in cells) for kind in campaign.KINDS}
    assert total["kill"] == 100
    assert total["disk-full"] == 20


def test_half_missing_other_and_left_over_files_are_seen(tmp_path):
    for name, text in {"a.png": "a", "log.csv": "1\n2\n", "summary.json": "{}"}.items():
        (tmp_path / name).write_text(text)
    whole = snapshots.snapshot(tmp_path)
    (tmp_path / "a.png").write_text("")
    (tmp_path / "log.csv").write_text("1\n")
    (tmp_path / ".tmp-1.b").touch()
    (tmp_path / "summary.json").unlink()
    found = snapshots.snapshot(tmp_path)
    assert snapshots.half_files(found, whole, ["*/log.csv"]) == ["half: a.png"]
    assert snapshots.differences(found, whole) == [
        "left over: .tmp-1.b", "missing: summary.json", "other bytes: a.png",
        "other bytes: log.csv",
    ]  # fmt: skip


def test_times_are_left_out_and_nothing_else(tmp_path):
    def hashed(**content):
        (tmp_path / "summary.json").write_text(json.dumps(content))
        return snapshots.snapshot(tmp_path)

    assert hashed(dice=0.5, seconds_training=1.0) == hashed(dice=0.5, seconds_training=9.0)
    assert hashed(dice=0.5, seconds_training=1.0) != hashed(dice=0.6, seconds_training=1.0)


@pytest.mark.parametrize(
    ("code", "error", "wrong"),
    [
        (1, "error: /place/out cannot be written: no space is left.\n", 0),
        (0, "error: /place/out cannot be written.\n", 1),
        (1, "error: a file: no space left.\n", 1),
        (1, "Traceback (most recent call last):\nOSError: /place\n", 2),
        (-6, "", 2),
    ],
)
def test_a_refusal_is_one_message_that_names_the_place(code, error, wrong):
    assert len(moments.refused(Ended(code, "", error, 1.0, 1.0), ["/place"])) == wrong


QUEUE = """
import json, sys
from pathlib import Path
from benchmarks.reliability.queue_kills import QueueCell

cell = QueueCell("few", jobs=4, workers=2, kills=3, pause=3.0)
print(json.dumps(cell.run(Path(sys.argv[1]))["measured"]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_queue_whose_workers_are_killed_does_each_job_once_with_the_same_bytes(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", QUEUE, tmp_path], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["done once"], found["jobs"], found["wrong"]) == (4, 4, [])
    assert found["kills"] > 0
    assert found["files"] > 50
