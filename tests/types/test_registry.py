"""Entries by name, from inside and from other packages."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hinterland.errors import HinterlandError
from hinterland.types.registry import Registry


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with a distribution that declares two colours, one of them broken."""
    info = tmp_path / "paint-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: paint\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[hinterland.colours]\ngreen = paint_module:GREEN\nbroken = paint_module:MISSING\n"
    )
    (tmp_path / "paint_module.py").write_text("GREEN = 'from outside'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "paint_module", raising=False)
    return tmp_path


def test_own_registered_and_declared_entries_are_found_by_name(installed):
    colours = Registry("colour", "hinterland.colours", {"red": "own"})
    assert colours.register("blue", "registered") == "registered"
    assert colours.names() == ("red", "blue", "broken", "green")
    assert "paint_module" not in sys.modules, "a declared entry is imported when it is used"
    assert [colours.get(n) for n in ("red", "blue", "green")] == [
        "own", "registered", "from outside",
    ]  # fmt: skip


def test_an_unknown_name_is_refused_with_those_there_are(installed):
    colours = Registry("colour", "hinterland.colours", {"red": 0})
    with pytest.raises(HinterlandError, match="colour 'grey': expected one of red, broken, green"):
        colours.get("grey")


def test_an_entry_that_cannot_be_imported_names_its_package(installed):
    colours = Registry("colour", "hinterland.colours", {"red": 0})
    with pytest.raises(HinterlandError, match="'broken' cannot be loaded from paint_module:MISS"):
        colours.get("broken")


def test_a_name_is_given_once(installed):
    colours = Registry("colour", "hinterland.colours", {"red": 0})
    for taken in ("red", "green"):
        with pytest.raises(HinterlandError, match=f"colour '{taken}' is registered already"):
            colours.register(taken, 1)
    with pytest.raises(HinterlandError, match="'green' is declared by paint_module:GREEN"):
        Registry("colour", "hinterland.colours", {"green": 0}).names()
