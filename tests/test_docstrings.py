"""Docstrings tell what a signature cannot: each argument, the result, and when they refuse."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from docstring_sections import classes_in, gaps
from import_graph import module_name

import hinterland as hl
from hinterland import losses
from hinterland.evaluation.metrics import metrics

SRC = Path(__file__).resolve().parents[1] / "src"
SOURCES = {module_name(p, SRC): p.read_text() for p in sorted(SRC.glob("hinterland/**/*.py"))}
CLASSES = classes_in(SOURCES)

# The functions of the command line are commands, and tell their arguments by --help.
DESCRIBED = [m for m in SOURCES if not m.startswith("hinterland.cli.")]
OFFERED = [name for name in hl.__all__ if inspect.isfunction(getattr(hl, name))]


def test_public_functions_tell_arguments_results_and_errors():
    assert len(DESCRIBED) > 300
    assert not [str(gap) for m in DESCRIBED for gap in gaps(SOURCES[m], m, CLASSES)]


@pytest.mark.parametrize("name", OFFERED)
def test_what_the_package_offers_tells_arguments_results_and_errors(name):
    function = inspect.unwrap(getattr(hl, name))
    module = function.__module__
    found = list(gaps(SOURCES[module], module, CLASSES, many=1))
    assert not [str(gap) for gap in found if gap.name == function.__name__]


@pytest.mark.parametrize("name", OFFERED)
def test_what_the_package_offers_shows_an_example(name):
    assert ">>> " in getattr(hl, name).__doc__


def test_losses_and_metrics_show_an_example():
    named = [(losses, name) for name in losses.__all__ if name.endswith("_loss")]
    named += [(metrics, name) for name in metrics.__all__ if name != "MetricSettings"]
    assert len(named) > 12
    assert not [name for place, name in named if ">>> " not in getattr(place, name).__doc__]


def test_the_package_offers_functions():
    assert {"train", "compare", "evaluate", "plan", "resume"} <= set(OFFERED)


DOC = '''"""Do.

    Args:
        a: one.
        b, c: others.

    Returns:
        It.
    """'''


@pytest.mark.parametrize(
    ("source", "lacks"),
    [
        (f"def f(a, b, c) -> int:\n    {DOC}", ()),
        (f"def f(a, b, c, d) -> int:\n    {DOC}", ("Args: d",)),
        ('def f(a, b) -> int:\n    """Do."""', ()),
        ('def f(a, b, c) -> None:\n    """Do."""', ("Args: a", "Args: b", "Args: c")),
        (f"def f(a, b, c) -> int:\n    {DOC.replace('Returns', 'Notes')}", ("Returns",)),
        ('def f(a):\n    """Do."""\n    raise HinterlandError("no")', ("Raises",)),
        ('def f(a):\n    """Do."""\n    raise ValueError("no")', ()),
        ("def f(a, b, c): ...", ("Args: a", "Args: b", "Args: c")),
        ("def _f(a, b, c): ...", ()),
        ('class A:\n    def f(self, a, b):\n        """Do."""', ()),
        ("class A:\n    def f(self, a, b, c): ...", ("Args: a", "Args: b", "Args: c")),
        ('class A(Base):\n    def f(self, a, b, c):\n        """Do."""', ()),
        (
            'class A(Base):\n    def g(self, *a, b, c):\n        """Do."""',
            ("Args: a", "Args: b", "Args: c"),
        ),
        ("class A(Outside):\n    def f(self, a, b, c): ...", ()),
        ("class A:\n    def h(self, a, b, c): ...", ()),
        ("class A:\n    def h(self, a, b, d): ...", ("Args: a", "Args: b", "Args: d")),
    ],
)
def test_the_check_finds_what_is_not_told(source, lacks):
    known = "class Base:\n    def f(self): ...\nclass P(Protocol):\n    def h(self, a, b, c): ..."
    classes = classes_in({"base": known})
    found = [gap.lacks for gap in gaps(source, "here", classes)]
    assert found == ([lacks] if lacks else [])
