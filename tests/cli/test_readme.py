"""The README promises what there is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

import hinterland as hl
from hinterland.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    lines = "\n".join(blocks("bash")).splitlines()
    return [line for line in lines if line.startswith("hinterland ")]


def test_the_quick_start_shows_the_chain():
    shown = [line.split()[1] for line in commands()]
    assert shown == ["check", "plan", "train", "train", "predict", "evaluate", "compare"]


@pytest.mark.parametrize("line", commands())
def test_its_commands_parse(line):
    line = line.replace("$SMALL", "--set batch_size=4")
    _, name, *arguments = shlex.split(line)
    typer.main.get_command(app).commands[name].make_context(name, arguments)


def test_the_table_of_methods_is_whole():
    (table,) = re.findall(r"^## Methods\n+((?:\|.*\n)+)", README, flags=re.MULTILINE)
    shown = {n for row in table.splitlines() for n in re.findall(r"`([^`]+)`", row.split("|")[1])}
    assert {name for name in shown if " " not in name} == set(hl.method_names())


def test_links_lead_somewhere():
    links = [t for t in re.findall(r"\]\(([^)]+)\)", README) if "://" not in t]
    assert links
    assert not [t for t in links if not (ROOT / t).exists()]


def test_the_label_file_shown_is_readable():
    import yaml

    (text,) = blocks("yaml")
    assert str(hl.LabelSpec.from_dict(yaml.safe_load(text)).target) == "background | infection"


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
