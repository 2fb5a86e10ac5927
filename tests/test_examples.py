"""Sessions in pages and docstrings: they run, and hold on any processor."""

from __future__ import annotations

import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest
import torch
from import_graph import module_name

from hinterland.data.io.formats import FORMATS
from hinterland.data.sampling.augmentation import AUGMENTATIONS

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src"
PAGES = [p for p in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")) if ">>> " in p.read_text()]
MODULES = [
    module_name(p, SRC) for p in sorted(SRC.glob("hinterland/**/*.py")) if ">>> " in p.read_text()
]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
ROUNDED = re.compile(r"round\(|:[.\d]*[fge]\}")
DECIMAL = re.compile(r"-?\d+\.\d+")


def by_hand(source: str, printed: str) -> list[str]:
    """List the printed decimals that may differ between processors: unrounded, or a zero, whose
    sign is left to chance."""
    found = DECIMAL.findall(printed)
    return [d for d in found if float(d) == 0 or not ROUNDED.search(source)]


@pytest.fixture(autouse=True)
def as_before(monkeypatch, tmp_path):
    """What a session sets, registers or keeps in the cache is gone after it."""
    monkeypatch.setenv("HINTERLAND_CACHE", str(tmp_path))
    for registry in (FORMATS, AUGMENTATIONS):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_sessions_of_pages_hold(page):
    failed, tried = doctest.testfile(str(page), module_relative=False, optionflags=OPTIONS)
    assert tried
    assert not failed


@pytest.mark.parametrize("module", MODULES)
def test_examples_of_docstrings_hold(module):
    failed, tried = doctest.testmod(import_module(module), optionflags=OPTIONS)
    assert tried
    assert not failed


def test_the_page_on_theory_is_a_session():
    text = (ROOT / "docs" / "theory.md").read_text()
    assert text.count(">>> ") > 30


def test_no_session_prints_what_depends_on_the_processor():
    examples = [e for p in PAGES for e in doctest.DocTestParser().get_examples(p.read_text())]
    for module in MODULES:
        for found in doctest.DocTestFinder().find(import_module(module)):
            examples += found.examples
    assert not [d for e in examples for d in by_hand(e.source, e.want)]


@pytest.mark.parametrize(
    ("source", "printed", "wrong"),
    [
        ("x.mean()", "0.25", ["0.25"]),
        ("round(x, 4)", "0.25", []),
        ("round(x, 4)", "-0.0", ["-0.0"]),
        ('f"{x:.2f}"', "'0.25'", []),
        ("x < 1e-9", "True", []),
    ],
)
def test_the_check_catches_what_it_should(source, printed, wrong):
    assert by_hand(source, printed) == wrong
