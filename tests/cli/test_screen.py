"""Progress and JSON."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from hinterland.cli import screen
from hinterland.cli.screen import Screen, clean, clock


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (61.4, "1:01"), (3599.7, "1:00:00"), (7322, "2:02:02")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_clean_makes_json():
    dirty = {"a": math.nan, 1: (np.float32(0.5), np.int64(3), math.inf), "p": [None, True, "x"]}
    assert json.loads(json.dumps(clean(dirty), allow_nan=False)) == {
        "a": None, "1": [0.5, 3, None], "p": [None, True, "x"],
    }  # fmt: skip


def test_a_machine_gets_json_only(capsys):
    both = Screen(machine=True)
    both.say("for people")
    both.note("on the way")
    both.result({"figure": 1})
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"figure": 1}
    assert "for people" in captured.err
    assert "on the way" in captured.err


def test_lines_tell_what_is_left(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(screen.time, "monotonic", lambda: now[0])
    with Screen().progress("training") as tick:
        for done in range(41, 101):  # resumed at step 40, one second a step
            now[0] += 1
            tick(done, 100, "val Dice 0.5")
        tick.stage("predicting")
        tick(1, 2)
        now[0] += 10
        tick(2, 2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 7  # one in ten seconds
    assert lines[0] == "training: 50/100, 0:10 passed, 0:50 left, val Dice 0.5"
    assert lines[5] == "training: 100/100, 1:00 passed, 0:00 left, val Dice 0.5"
    assert lines[6] == "predicting: 2/2, 0:10 passed, 0:00 left"


def test_the_first_of_many_pieces_does_not_tell_what_is_left(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(screen.time, "monotonic", lambda: now[0])
    with Screen().progress("checking") as tick:
        now[0] += 10  # a pool of workers starts
        tick(1, 780)
        now[0] += 10
        tick(390, 780)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["checking: 1/780, 0:10 passed", "checking: 390/780, 0:20 passed, 0:20 left"]


def test_another_total_begins_another_count(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(screen.time, "monotonic", lambda: now[0])
    with Screen().progress("training") as tick:
        now[0] += 11
        tick(352, 10_000)  # ten-thousandths of a deadline, until the speed is known
        now[0] += 1
        tick(12, 182)
        now[0] += 10
        tick(22, 182)
    lines = capsys.readouterr().err.splitlines()
    assert lines[1:] == ["training: 22/182, 0:22 passed, 2:40 left"]


def test_quick_work_leaves_no_trace(capsys):
    with Screen().progress("checking") as tick:
        for done in range(1, 4):
            tick(done, 3)
    assert capsys.readouterr().err == ""


def test_other_processes_of_a_run_are_silent(capsys, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    quiet = Screen(machine=True)
    quiet.say("x")
    quiet.note("x")
    quiet.result({})
    with quiet.progress("x") as tick:
        tick(1, 1)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_terminal_gets_a_bar(monkeypatch):
    from io import StringIO

    from rich.console import Console

    stream = StringIO()
    terminal = Console(file=stream, force_terminal=True, width=120)
    monkeypatch.setattr(screen, "console", lambda stderr: terminal)
    with Screen().progress("training") as tick:
        tick(3, 10, "val Dice [0.5]")
        tick.stage("predicting")
        tick(1, 2)
    shown = stream.getvalue()
    assert "predicting" in shown
    assert "1/2" in shown
