"""The examples in the docstrings of evaluation run and say what they say."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import hinterland

ROOT = Path(hinterland.__file__).parent
MODULES = sorted(
    ".".join(("hinterland", *p.relative_to(ROOT).with_suffix("").parts))
    for room in ("evaluation", "report", "export")
    for p in (ROOT / room).rglob("*.py")
    if ">>>" in p.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("module", MODULES)
def test_examples(module: str) -> None:
    result = doctest.testmod(import_module(module))
    assert result.attempted > 0
    assert result.failed == 0
