"""Names that are HTML, formulas, paths or terminal codes go through every command as plain text."""

from __future__ import annotations

import csv
import html
import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from broken import picture
from cli_helpers import FAST
from typer.testing import Result

from hinterland.cli.screen import printable

CASES = ["<img src=x onerror=alert(1)>", '=HYPERLINK("x")', "\x1b[2Jwipe[bold]", "${7*7}{{7*7}}",
         "-a", "</script><script>alert(2)"]  # fmt: skip
ORGAN, LESION = "<script>alert(1)</script>", "../../../../=1+1"
SPEC = {
    "tree": {"background": {ORGAN: {}, "rest": {}}, LESION: {}},
    "target": [LESION],
    "schemes": {"full": {0: "rest", 1: ORGAN, 2: LESION}},
}


class Elements(HTMLParser):
    """Collects the elements of a page with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._in_script = tag == "script"

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts.append(data)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, hinterland: Callable[..., Result]) -> Path:
    """Hostile names, two runs, their comparison and exports."""
    folder = tmp_path_factory.mktemp("hostile") / "a" / "b" / "c" / "d"
    data, rng = folder / "data", np.random.default_rng(0)
    for name in (n.replace("/", "∕") for n in CASES):  # a slash that file names may have
        picture(data / "images" / f"{name}.png", rng.integers(0, 255, (32, 32), dtype=np.uint8))
        mask = np.zeros((32, 32), np.uint8)
        mask[4:20, 4:20], mask[8:14, 8:14] = 1, 2
        picture(data / "masks" / f"{name}.png", mask)
    names = [n.replace("/", "∕") for n in CASES]
    splits = {"train": names[2:5], "val": names[5:], "test": names[:2]}
    (data / "splits.json").write_text(json.dumps(splits))
    (data / "labels.yaml").write_text(yaml.safe_dump(SPEC, sort_keys=False))
    for name, method in (("=one", "supervised"), ("<b>two", "backsplit")):
        hinterland("train", data, "--method", method, "--fold", "fixed", "--steps", 2,
                   "--out", folder / name, *FAST)  # fmt: skip
        hinterland("predict", folder / name, data / "images", folder / f"{name}-out",
                   "--probabilities")  # fmt: skip
    hinterland("evaluate", folder / "=one-out", data / "masks", "--labels", data / "labels.yaml",
               "--out", folder / "table.csv")  # fmt: skip
    hinterland("compare", folder / "=one", folder / "<b>two", "--out", folder / "comparison",
               "--at", "target")  # fmt: skip
    pages = folder / "pages"
    hinterland("view", folder / "=one", folder / "<b>two", "--out", pages / "view.html")
    hinterland("view", data, "--augmented", "--out", pages / "augmented.html")
    hinterland("view", data, "--preprocessed", "--out", pages / "preprocessed.html")
    hinterland("watch", folder / "<b>two", "--once", "--html", pages / "watch.html")
    for to in ("nnunet", "monai"):
        hinterland("export", folder / "=one", folder / to, "--to", to)
    return folder


@pytest.mark.slow
def test_pages_hold_names_as_text(study: Path):
    pages = [*study.glob("comparison/*.html"), *study.glob("pages/*.html")]
    assert len(pages) == 5
    for page in pages:
        text = page.read_text()
        parsed = Elements()
        parsed.feed(text)
        assert not [a for _, attributes in parsed.found for a in attributes if a.startswith("on")]
        assert not [s for s in parsed.scripts if "alert" in s]
        assert not [a for _, a in parsed.found if a.get("src") == "x"]
        assert html.escape(LESION) in text


@pytest.mark.slow
def test_no_table_holds_a_formula(study: Path):
    tables = [p for p in study.rglob("*.csv") if "tensorboard" not in p.parts]
    assert len(tables) >= 4
    seen = set()
    for path in tables:
        with path.open(newline="") as file:
            for row in csv.reader(file):
                for cell in row:
                    seen.add(cell)
                    if cell[:1] in set("=+-@"):
                        float(cell)  # a number, or ValueError
    assert '\'=HYPERLINK("x")' in seen


@pytest.mark.slow
def test_nothing_is_written_outside_the_folders(study: Path):
    known = {"data", "=one", "<b>two", "=one-out", "<b>two-out", "table.csv", "comparison",
             "nnunet", "monai", "pages"}  # fmt: skip
    assert {p.name for p in study.iterdir()} == known
    above = study
    for _ in range(4):
        above = above.parent
        assert len(list(above.iterdir())) == 1


@pytest.mark.slow
def test_the_terminal_is_not_steered(study: Path, hinterland: Callable[..., Result]):
    broken = study / "data" / "masks" / "\x1b[2Jwipe[bold].png"
    good = broken.read_bytes()
    try:
        broken.write_bytes(b"no picture")
        shown = hinterland("check", study / "data", code=1)
        refused = hinterland("train", study / "data", "--method", "supervised", "--fold", "fixed",
                             "--out", study / "=one" / "never", *FAST, code=1)  # fmt: skip
    finally:
        broken.write_bytes(good)
    for text in (shown.stdout, refused.stderr):
        assert "\\x1b[2Jwipe[bold]" in text
        assert "\x1b" not in text


def test_control_characters_become_text():
    assert printable("a\x1b]0;title\x07\x9bb\n\tc\r") == "a\\x1b]0;title\\x07\\x9bb\n\tc\\x0d"
