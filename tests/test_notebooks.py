"""The notebooks: stored without outputs, and their cells run, with few steps."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(ROOT.glob("examples/notebooks/*.ipynb"))
STEPS = re.compile(r"^STEPS = \d+", flags=re.MULTILINE)


def code_cells(path: Path) -> list[dict[str, Any]]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def source(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in code_cells(path)]


def test_there_are_notebooks():
    assert [path.stem for path in NOTEBOOKS] == ["backsplit", "few_labels"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_stored_without_outputs(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    names = [cell["id"] for cell in content["cells"]]
    assert len(set(names)) == len(names)
    assert all(not c["outputs"] and c["execution_count"] is None for c in code_cells(path))
    assert len(STEPS.findall("\n".join(source(path)))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_cells_of_a_notebook_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HINTERLAND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    plt.switch_backend("agg")
    names: dict[str, Any] = {}
    for code in source(path):
        exec(compile(STEPS.sub("STEPS = 2", code), str(path), "exec"), names)
    assert all(run.summary["steps"] == 2 for run in names["runs"].values())
    assert len(names["figure"].axes) == 3 * (2 + len(names["runs"]))
    plt.close(names["figure"])
