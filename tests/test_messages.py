"""What users are told has one form: what came, what was expected, what to do."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "docs" / "make_messages.py"
if not SCRIPT.is_file():
    pytest.skip("needs the repository's docs/", allow_module_level=True)
_spec = importlib.util.spec_from_file_location("make_messages", SCRIPT)
assert _spec is not None
assert _spec.loader is not None
make_messages = importlib.util.module_from_spec(_spec)
sys.modules["make_messages"] = make_messages
_spec.loader.exec_module(make_messages)

MESSAGES = make_messages.messages()
TO_DO = re.compile(
    r"\b(add|ask|call|check|choose|convert|copy|correct|cut|delete|do they|draw|evaluate|expected|"
    r"expects|export|fetch|finish|fit|give|has|install|is the header|keep|leave|list|look|lower|"
    r"make|may have|mend|move|must|name|needs?|one of|pass|pip|plan again|predict|put|raise|reads|"
    r"remove|rename|reorient|replace|report|resample|restore|resume|run|save|say|see|set|start|"
    r"take|there are|train|try|undo|use|with no --|write)\b",
    re.I,
)
ELSEWHERE = re.compile(
    r"\{[^{}]*(advice|hint|_ELSE|_reason|error|message|lines|tail|how_to|suggestion)[^{}]*\}", re.I
)
NAMED = re.compile(r"\{|--|`|=|\.(json|yaml|csv)|[a-z]+\[|pip install|\w+_\w+")


NAMED_BY_CALLERS = {
    "classification/fitting/rule": "a function of the library: its argument is named",
    "classification/scores/metrics": "a function of the library: its argument is named",
    "data/preprocessing/preprocess": "the worker puts the case in front",
    "evaluation/metrics/surface": "a function of the library",
    "labels/coarsening": "the file is put in front",
    "labels/parsing": "the file is put in front",
    "labels/spec": "the file is put in front",
    "labels/strict_yaml": "the file is put in front",
    "supports/grid": "the case is put in front",
}
OF_EVERYTHING = {  # nothing in particular came: all of what was given is meant
    "classification/trainer", "data/derived/dataset", "evaluation/pairing",
    "inference/uncertainty", "report/compare", "studies/confidence", "studies/supports/advice",
}  # fmt: skip


def test_the_catalogue_is_up_to_date():
    assert make_messages.PAGE.read_text(encoding="utf-8") == make_messages.page(MESSAGES), (
        "run `python docs/make_messages.py`"
    )


def test_there_are_messages_of_every_room_that_reads():
    rooms = {m.module.split("/")[0] for m in MESSAGES}
    assert {"data", "labels", "evaluation", "training", "report", "export", "cli"} <= rooms
    assert len(MESSAGES) > 500


@pytest.mark.parametrize("severity", ["", "error", "warning"])
def test_every_message_says_what_to_do(severity: str):
    own = [m for m in MESSAGES if m.severity == severity]
    mute = [m for m in own if not (TO_DO.search(m.text) or ELSEWHERE.search(m.text))]
    assert not [f"{m.module}: {m.text}" for m in mute]


def test_messages_name_what_came():
    """A value that is filled in, an option, a setting or a file; `check` names the case itself."""
    vague = [m for m in MESSAGES if not m.code and not NAMED.search(m.text)]
    known = {*NAMED_BY_CALLERS, *OF_EVERYTHING}
    assert not [f"{m.module}: {m.text}" for m in vague if m.module not in known]
    assert known == {m.module for m in vague}  # no entry that is not needed


def test_messages_end_as_sentences():
    """No text ends in the middle: with a stop, a bracket, a command or what it fills in."""
    odd = [m for m in MESSAGES if re.search(r"[,;(]\s*$| $", m.text)]
    assert not [f"{m.module}: {m.text!r}" for m in odd]
