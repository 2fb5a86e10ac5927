"""The benchmark runner: cells have names of their own, and nothing stale is taken for a result."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

NEEDS = "needs the repository's benchmarks/"
runner = pytest.importorskip("benchmarks.harness.run_cell", reason=NEEDS)
registry = import_module("benchmarks.harness.registry")
CELLS = [n for n in registry.BENCHMARKS if hasattr(registry.load_benchmark(n), "cells")]


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("size", ["smoke", "cpu", "paper"])
def test_cells_have_names_and_definitions_of_their_own(name, size):
    cells = registry.load_benchmark(name).cells(size, 3)
    assert cells
    assert len({c.name for c in cells}) == len(cells)
    assert len({c.key for c in cells}) == len(cells)


def test_a_folder_of_another_definition_is_emptied(tmp_path: Path):
    folder = runner.work_folder(tmp_path / "cell", "one")
    (folder / "run").mkdir()
    assert (runner.work_folder(folder, "one") / "run").is_dir()  # interrupted: gone on with
    assert not (runner.work_folder(folder, "two") / "run").exists()


def test_a_folder_without_a_definition_is_emptied(tmp_path: Path):
    (tmp_path / "cell" / "run").mkdir(parents=True)
    assert not (runner.work_folder(tmp_path / "cell", "one") / "run").exists()
