"""The benchmark runner: cells have names of their own, and nothing stale is taken for a result."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import numpy as np
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


def test_a_run_that_did_not_take_off_is_marked_in_its_row():
    tables = import_module("benchmarks.harness.tables")
    cell = import_module("benchmarks.harness.cell").Cell
    cells = [cell(arm, seed, "g") for arm in ("one", "two") for seed in (0, 1)]

    def result(seed: int, dice: float, best: float) -> dict:
        rows = [[f"c{i}", "x", "target", f"c{i}", dice + i / 100] for i in range(4)]
        split = {"columns": ["case", "class", "coarsening", "group", "dice"], "data": rows}
        split["index"] = list(range(4))
        one = {"seed": seed, "config": {"fold": "fixed"}, "cases": {"last": split},
               "reported": "last", "curve": [[10, best / 2], [20, best]]}  # fmt: skip
        return {**one, "frames": tables.frames(one)}

    figures = {"one": [(0.8, 0.8), (0.82, 0.79)], "two": [(0.9, 0.85), (0.0, 0.01)]}
    results = {c.name: result(c.seed, *figures[c.arm][c.seed]) for c in cells}
    table = tables.Table("t", "g", [("Dice", "target", (), "dice")], baseline="one")
    text = tables.render(table, cells, results)
    rows = {line.split(" | ")[0].strip("| "): line for line in text.splitlines() if "|" in line}
    assert "2/2 |" in rows["one"]
    assert "2/2, 1 not taken off" in rows["two"]


@pytest.mark.parametrize("name", ["backsplit", "backsplit_plateau", "budgets", "supports"])
def test_every_table_of_backsplit_has_both_rules_of_sampling(name):
    module = registry.load_benchmark(name)
    cells = module.cells("cpu", 3)
    for table in module.tables("cpu"):
        arms = table.arms(cells)
        for arm, rule in ((a, "on" if a.endswith(", any class") else None) for a in arms):
            found = {c.settings.get("data", {}).get("foreground_on") for c in arms[arm]}
            assert found == {rule}, (table.title, arm)
        assert any(arm.endswith(", any class") for arm in arms), table.title


def test_lesions_found_and_false_positives_by_structure_of_two_arms():
    lesions = import_module("benchmarks.harness.lesions")
    cell = import_module("benchmarks.harness.cell").Cell
    cells = [cell(arm, 0, "g") for arm in ("binary", "leaves", "later")]

    def result(found: list[int], places: list[list[object]]) -> dict:
        counted = [[f"c{i}", "lesion", 2, n] for i, n in enumerate(found)]
        return {"lesions": {"columns": ["case", "class", "lesions", "found"], "data": counted},
                "structures": {"columns": ["case", "class", "structure", "volume"],
                               "data": places}}  # fmt: skip

    binary = [["c0", "lesion", "decoy", 3.0], ["c1", "lesion", "decoy", 1.0],
              ["c1", "lesion", "rest", 1.0]]  # fmt: skip
    leaves = [["c0", "lesion", "decoy", 0.5], ["c1", "lesion", "rest", 1.0]]
    results = {cells[0].name: result([1, 1], binary), cells[1].name: result([2, 1], leaves)}
    lines = lesions.lesion_section("T", "g", cells, results).splitlines()
    assert "| arm | runs | lesion sensitivity | in decoy | in rest | all |" in lines
    assert "| binary | 1 | 0.500 | 2.00 | 0.50 | 2.50 |" in lines
    assert "| leaves | 1 | 0.750 | 0.25 | 0.50 | 0.75 |" in lines
    assert "| later | 0 | not run | not run | not run | not run |" in lines
    assert "not run" in lesions.lesion_section("T", "g", cells, {})


def test_slabs_and_one_piece_are_asked_the_same(tmp_path: Path):
    """The sides of the benchmark of memory, at its smallest: they follow the package's names."""
    from benchmarks.peers.prediction_memory import (
        Job,
        geometry_of,
        make_image,
        members,
        network,
        one_piece,
        slabs,
    )  # fmt: skip

    shape = (12, 24, 24)
    job = Job(make_image(shape, 12), (8, 16, 16), network(5), geometry_of(shape, 1.25),
              members(5, 5), 0.5, tmp_path / "case.nii.gz")  # fmt: skip
    found, before = slabs(job), one_piece(job)
    assert found.shape == before.shape == (15, 30, 30)
    assert len(np.unique(found)) > 1
    assert (found != before).mean() < 0.01


@pytest.mark.parametrize("side", ["slabs", "file to file"])
def test_a_side_of_the_memory_benchmark_runs_to_its_file(tmp_path: Path, side: str):
    from benchmarks.peers.prediction_memory import main

    out = tmp_path / "side.json"
    main(json.dumps([side, [12, 24, 24], [8, 16, 16], 5, 5, 1.25, 0.5, 12, 1, str(out)]))
    found = json.loads(out.read_text())
    assert found["peak_mib"] >= found["before_mib"] > 0
    assert sum(found["counts"]) == 15 * 30 * 30
