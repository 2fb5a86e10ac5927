"""The README promises what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import hinterland as hl

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_first_two_commands_are_the_promised_ones():
    """Others run them word for word: a demo on a fresh machine, and all tests."""
    start = "python3 -m venv .venv && . .venv/bin/activate && pip install "
    assert blocks("bash") == [
        f"{start}. && hinterland demo\n",
        f'{start}-e ".[dev]" && python -m pytest\n',
    ]


def test_the_table_of_methods_is_whole():
    (table,) = re.findall(r"^## Methods\n+((?:\|.*\n)+)", README, flags=re.MULTILINE)
    shown = {n for row in table.splitlines() for n in re.findall(r"`([^`]+)`", row.split("|")[1])}
    assert {name for name in shown if " " not in name} == set(hl.method_names())


def test_the_citation_is_of_this_version():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == hl.__version__
    assert len(cited["references"]) == 5
    assert all(r["title"] and r["authors"] and r["type"] for r in cited["references"])


def test_it_fits_two_screens():
    assert len(README.split()) < 800


@pytest.mark.parametrize("file", sorted((ROOT / "examples" / "labels").glob("*.yaml")), ids=str)
def test_example_labels_are_readable(file):
    spec = hl.LabelSpec.load(file)
    assert len(spec.tree) >= 2


def test_the_python_example_runs(phantoms, tmp_path, monkeypatch):
    """Word for word, but for the data set, its lesion, and a small configuration."""
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    small = {"steps": 2, "batch_size": 2, "network_options": {"features": [4, 8]}}
    code = code.replace('"Dataset115_COVID19CT", labels="examples/labels/covid19ct.yaml"',
                        repr(str(phantoms)))  # fmt: skip
    code = code.replace("infection", "lesion")
    code = code.replace("fold=0,", f"fold=0, config=hl.make_config({small}),")
    names: dict = {}
    exec(code, names)
    assert set(names["table"]["class"]) == {"lesion"}
    assert len(names["table"]) == 3


def test_the_top_level_names_are_all_there():
    assert not [name for name in hl.__all__ if not hasattr(hl, name)]
    assert set(hl.__all__) <= set(dir(hl))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        hl.nonsense  # noqa: B018
