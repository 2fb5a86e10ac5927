"""The mutation campaign: what counts as a fault, and that every kind still breaks what it says."""

from __future__ import annotations

import shutil
from importlib import import_module
from pathlib import Path

import pytest

NEEDS = "needs the repository's benchmarks/"
mutations = pytest.importorskip("benchmarks.reliability.mutations", reason=NEEDS)
forked = import_module("benchmarks.reliability.forked")
healthy = import_module("benchmarks.reliability.healthy")
KINDS = mutations.kinds()
DATA = [k for k in KINDS if not k.area.startswith(("run", "predictions"))]


@pytest.mark.parametrize(
    ("outcome", "faults"),
    [
        ((0, "fine", 1, 0.5), []),
        ((1, "error: no", 1, 0.5), []),
        ((2, "Usage: ...", 1, 0.5), []),
        ((1, "", 1, 0.5), ["no message"]),
        ((99, "Traceback (most recent call last)\n ...", 1, 0.5), ["exit 99", "traceback"]),
        ((-9, "", 1, 0.5), ["exit -9"]),
        ((0, "fine", 61, 0.5), ["61 s"]),
        ((1, "error: no", 1, 2.5), ["2.5 GB"]),
    ],
)
def test_what_counts_as_a_fault(outcome: tuple, faults: list[str]):
    assert forked.Outcome(*outcome).faults == faults


def test_a_command_is_measured_in_a_process_of_its_own(tmp_path: Path):
    missing = forked.run(["check", tmp_path / "nowhere"])
    assert missing.code == 1
    assert "there is no folder" in missing.text
    assert missing.faults == []
    assert 0.05 < missing.gigabytes < 4
    assert forked.run(["no-such-command"]).code == 2


def test_there_are_many_kinds_with_names_of_their_own():
    names = [(k.area, k.name) for k in KINDS]
    assert len(set(names)) == len(names) > 800
    assert len({k.area for k in KINDS}) > 15


def contents(root: Path) -> dict[str, object]:
    """Every entry below a folder: what kind it is, and its bytes."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()))
        elif path.is_file():
            found[name] = (oct(path.stat().st_mode), path.read_bytes())
        else:
            found[name] = oct(path.stat().st_mode)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("area", sorted({k.area for k in DATA}))
def test_every_kind_changes_the_data_or_the_command(tmp_path: Path, area: str):
    healthy.volumes(tmp_path / "volumes")
    healthy.pictures(tmp_path / "pictures")
    source = healthy.Healthy(tmp_path).source(area)
    whole = contents(source)
    for kind in DATA:
        if kind.area != area or "MB" in kind.name or "bomb" in kind.name:
            continue  # the bombs take minutes to write
        copy = tmp_path / "copy"
        shutil.copytree(source, copy, symlinks=True)
        says = isinstance(kind.apply(copy), healthy.Options)
        assert says == (area == "picture: settings")
        assert says or contents(copy) != whole, kind.name
        shutil.rmtree(copy)


def test_the_table_counts_kinds_commands_and_passes():
    trials = [
        {"area": "a", "kind": "x", "command": "check", "exit": 1, "seconds": 2.0,
         "gigabytes": 0.5, "faults": []},
        {"area": "a", "kind": "x", "command": "train", "exit": 99, "seconds": 3.0,
         "gigabytes": 0.6, "faults": ["traceback"]},
        {"area": "b", "kind": "y", "command": "check", "exit": 0, "seconds": 1.0,
         "gigabytes": 0.4, "faults": []},
    ]  # fmt: skip
    rows = mutations.table(trials).splitlines()
    assert rows[2] == "| a | 1 | 2 | 1 | 0 | 1 | 0 | 0.60 | 3.0 |"
    assert rows[-1] == "| all | 2 | 3 | 2 | 1 | 1 | 0 | 0.60 | 3.0 |"
