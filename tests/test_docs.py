"""The pages: all are in the site's order, links lead somewhere, commands parse."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
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


def follow(page: Path, shorter: list[str]) -> None:
    """Give a page's commands in turn, but for the demo's; trainings are cut short."""
    for line in commands(page):
        words = shlex.split(line)[1:]
        if words[0] == "demo":
            continue
        done = CliRunner().invoke(app, [*words, *(shorter if words[0] == "train" else [])])
        assert done.exit_code == 0, (line, done.output, done.exception)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["first-run", "few-labels"])
def test_the_tutorials_on_phantoms_run(name, tmp_path, monkeypatch):
    """On smaller phantoms, and two small runs in the place of the demo's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HINTERLAND_CACHE", str(tmp_path / "cache"))
    data = hl.make_phantoms(Path("hinterland-demo/phantoms"), (8, 2, 3), size=16)
    short = ["--steps", "4", "--set", "network_options.features=[4,8]", "--set",
             "patch_size=[16,16,16]", "--set", "validation.mirror=false"]  # fmt: skip
    for arm, on in (("binary", ["target"]), ("both", ["leaves", "target"])):
        asked = [word for question in on for word in ("--on", question)]
        out = ["--fold", "fixed", "--out", f"hinterland-demo/runs/{arm}"]
        words = ["train", str(data), "--method", "supervised", *asked, *out, *short]
        assert CliRunner().invoke(app, words).exit_code == 0
    follow(DOCS / "tutorials" / f"{name}.md", short)


@pytest.mark.slow
def test_the_tutorial_on_volumes_runs(tmp_path, monkeypatch):
    """On small scans of our own, labelled as the public data set of the page is."""
    here = tmp_path / "here"
    data = tmp_path / "shared" / "data" / "Dataset115_COVID19CT"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HINTERLAND_CACHE", str(tmp_path / "cache"))
    (here / "examples").symlink_to(ROOT / "examples")
    draw = np.random.default_rng(0)
    for part, count in (("Tr", 10), ("Ts", 2)):
        for i in range(count):
            mask = np.zeros((48, 48, 6), np.uint8)
            mask[8:40, 8:40], mask[20:30, 15:25] = 1, 2
            image = draw.normal(0, 30, mask.shape) + 100.0 * mask
            for kind, array, suffix in (("images", image, "_0000"), ("labels", mask, "")):
                file = data / f"{kind}{part}" / f"scan{part}{i}{suffix}.nii.gz"
                file.parent.mkdir(parents=True, exist_ok=True)
                volume = nibabel.Nifti1Image(array.astype(np.float32), np.eye(4))
                nibabel.save(volume, file)
    names = {"background": 0, "lung": 1, "infection": 2}
    described = {"channel_names": {"0": "CT"}, "labels": names, "numTraining": 10,
                 "file_ending": ".nii.gz"}  # fmt: skip
    (data / "dataset.json").write_text(json.dumps(described))
    short = ["--steps", "4", "--set", "network_options.features=[4,8]", "--set",
             "patch_size=[32,32]", "--set", "validation.mirror=false"]  # fmt: skip
    follow(DOCS / "tutorials" / "own-nifti.md", short)
    table = pd.read_csv("metrics.csv")
    assert set(table["case"]) == {"scanTs0", "scanTs1"}


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
