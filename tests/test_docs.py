"""The pages: all are in the site's order, links lead somewhere, commands parse."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer
import yaml
from typer.testing import CliRunner

import hinterland as hl
from hinterland.cli.main import app

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
TUTORIALS = sorted(DOCS.glob("tutorials/*.md"))
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("**/*.md")])
SITE: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands(page: Path) -> list[str]:
    """List the lines of a page's shell blocks that call us, with their variables filled in."""
    text = "\n".join(blocks(page, "bash")).replace("\\\n", " ")
    for name, quoted, bare in re.findall(r'\b([A-Z]+)=(?:"([^"]*)"|(\S+?)(?=[;\s]))', text):
        text = text.replace(f"${name}", (quoted or bare).replace("\n", " "))
    return [line for line in text.splitlines() if line.startswith("hinterland ")]


def parse(line: str) -> None:
    """Read a command line as far as its command's options and arguments."""
    command, words = typer.main.get_command(app), shlex.split(line)[1:]
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    command.make_context(line, words)


def in_order(part: Any) -> Iterator[str]:
    """Give the pages of the site's navigation."""
    if isinstance(part, str):
        yield part
    else:
        for inner in part.values() if isinstance(part, dict) else part:
            yield from in_order(inner)


def anchors(page: Path) -> set[str]:
    """List the anchors of a page's headings, as GitHub and MkDocs make them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    names = set()
    for heading in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", heading.lower()).strip()
        names |= {plain.replace(" ", "-"), re.sub(r"[-\s]+", "-", plain)}
    return names


def links(page: Path) -> list[str]:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return [target for target in found if "://" not in target and not target.startswith("mailto:")]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page):
    lost = []
    for target in links(page):
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            lost.append(target)
    assert not lost


def test_every_page_has_its_place_in_the_order():
    ordered = list(in_order(SITE["nav"]))
    assert len(ordered) == len(set(ordered))
    assert set(ordered) == {str(p.relative_to(DOCS)) for p in DOCS.glob("**/*.md")}


def test_the_index_names_every_page():
    assert {"index.md", *links(DOCS / "index.md")} >= set(in_order(SITE["nav"]))


@pytest.mark.parametrize(
    ("page", "line"), [(p, line) for p in TUTORIALS for line in commands(p)],
    ids=lambda x: x.stem if isinstance(x, Path) else "",
)  # fmt: skip
def test_commands_of_tutorials_parse(page, line):
    parse(line)


def test_every_tutorial_has_commands():
    assert len(TUTORIALS) >= 4
    assert all(commands(page) for page in TUTORIALS)


def test_a_command_that_is_wrong_is_found():
    with pytest.raises(Exception, match="No such option"):
        parse("hinterland check DATASET --nonsense")


def test_the_chain_of_a_comparison_is_shown():
    shown = [line.split()[1] for line in commands(DOCS / "tutorials" / "own-nifti.md")]
    assert shown == ["check", "plan", "train", "train", "predict", "evaluate", "compare"]


def test_the_label_file_of_the_tutorial_is_readable():
    (text,) = blocks(DOCS / "tutorials" / "own-nifti.md", "yaml")
    assert str(hl.LabelSpec.from_dict(yaml.safe_load(text)).target) == "background | infection"


@pytest.mark.slow
def test_the_tutorial_on_pictures_runs(tmp_path, monkeypatch):
    """Word for word: pictures from its Python, labels from its YAML, its commands in turn."""
    page = DOCS / "tutorials" / "own-png.md"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HINTERLAND_CACHE", str(tmp_path / "cache"))
    (code,), (labels,) = blocks(page, "python"), blocks(page, "yaml")
    exec(code, {})
    Path("pictures.yaml").write_text(labels)
    for line in commands(page):
        done = CliRunner().invoke(app, shlex.split(line)[1:])
        assert done.exit_code == 0, (line, done.output)
    table = pd.read_csv("metrics.csv")
    assert len(table) == 4
    assert table["dice"].mean() > 0.8


QUICK = (
    (r"--steps \d+", "--steps 2"),
    (r"features=\[\d+,\d+\]", "features=[4,8]"),
)  # of training: what a page says of the figures is not looked at


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["partial-labels", "image-labels", "from-nnunet", "from-totalsegmentator"]
)
def test_a_tutorial_runs_with_few_steps(name, tmp_path, monkeypatch):
    """Its Python makes the data, its YAML says on the first line where it lies, then commands."""
    page = DOCS / "tutorials" / f"{name}.md"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HINTERLAND_CACHE", str(tmp_path / "cache"))
    for code in blocks(page, "python"):
        exec(code, {})
    for text in blocks(page, "yaml"):
        Path(text.split()[1]).write_text(text)
    ran = [line for line in commands(page) if "supports totalsegmentator" not in line]
    for line in ran:
        for pattern, quick in QUICK:
            line = re.sub(pattern, quick, line)
        done = CliRunner().invoke(app, shlex.split(line)[1:])
        assert done.exit_code == 0, (line, done.output)
    made = [Path(line.split(" --out ")[1].split()[0]) for line in ran if " --out " in line]
    assert len(made) >= 4
    assert all(path.exists() for path in made)
