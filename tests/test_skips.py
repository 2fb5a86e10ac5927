"""The guard against skips: what it lets pass, and that a run with another skip fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from skips import ALLOWED, read_allowed, refused

ROOT = Path(__file__).resolve().parents[1]
BROWSER = ("t::a", "no headless browser here: chromium not found")


@pytest.mark.parametrize(
    ("setting", "count"), [("but", 1), ("but,data", 1), ("but,browser", 0), ("but,data,browser", 0)]
)
def test_a_skip_counts_unless_the_machine_lacks_what_it_names(setting: str, count: int):
    allowed = read_allowed(ALLOWED.read_text())
    assert len(refused([BROWSER], allowed, setting)) == count
    assert refused([("t::b", "not today")], allowed, setting) == ["t::b: not today"]


def test_every_line_of_the_list_has_a_reason():
    allowed = read_allowed(ALLOWED.read_text())
    assert {a.when for a in allowed} <= {"always", "browser", "nnunet", "data"}
    assert all(len(a.why.split()) > 4 for a in allowed)
    with pytest.raises(ValueError, match="expected `when"):
        read_allowed("always | because\n")


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "code"), [("", 0), ("but", 1), ("but,data", 0)])
def test_a_run_with_a_skip_fails_where_it_is_asked_for(tmp_path: Path, setting: str, code: int):
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_it.py").write_text(
        "import pytest\n\ndef test_it():\n    pytest.skip('/nowhere is not there')\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o",
         f"pythonpath={ROOT / 'tests' / 'helpers'}", "-o", "markers=browser: x", str(tmp_path)],
        env=os.environ | {"HINTERLAND_NO_SKIPS": setting},
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=120,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert ("test_it.py::test_it: /nowhere is not there" in done.stdout) == bool(code)
