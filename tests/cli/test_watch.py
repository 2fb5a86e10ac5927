"""`hinterland watch`: finished, running and stopped runs, and the page that it writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from cli_helpers import as_json
from report_study import make_study
from rich.console import Console
from typer.testing import Result

from hinterland.report.watching.curve import braille
from hinterland.report.watching.frame import clock, frame
from hinterland.report.watching.state import read_state
from hinterland.training.progress_note import FILE, ProgressNote, read_progress

Invoke = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that was stopped at step 300: it has a log, and no word of a process."""
    make_study(tmp_path, cases=2, training=4)
    made = tmp_path / "runs" / "backsplit"
    (made / "summary.json").unlink()
    old = time.time() - 3600
    os.utime(made / "log.csv", (old, old))
    return made


def _note(run: Path, **changes: object) -> None:
    ProgressNote(run, lambda *_: None).stage("training")
    told = read_progress(run)
    assert told is not None
    (run / FILE).write_text(json.dumps({**asdict(told), **changes}))


def _dead() -> int:
    """Return the number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_stopped_run_says_how_to_go_on(hinterland: Invoke, run: Path) -> None:
    shown = hinterland("watch", run, "--once").stdout
    assert "stopped" in shown
    assert f"hinterland resume {run}" in shown.replace("\n", "")
    assert "step 300 of 300 (100 %)" in shown
    told = as_json(hinterland("watch", run, "--json"))
    assert told["state"] == "stopped"
    assert told["seconds_left"] is None
    assert told["validation"]["step"] == 300


def test_a_running_run_has_speed_and_time_left(hinterland: Invoke, run: Path) -> None:
    _note(run, done=120, total=300, speed=4.0)
    told = as_json(hinterland("watch", run, "--json"))
    assert told["state"] == "running"
    assert told["speed"] == 4.0
    assert told["seconds_left"] == 45.0
    assert "45 s left" in hinterland("watch", run, "--once").stdout


def test_a_killed_run_is_stopped_whatever_it_said_last(hinterland: Invoke, run: Path) -> None:
    _note(run, done=120, total=300, speed=4.0, process=_dead())
    told = as_json(hinterland("watch", run, "--json"))
    assert (told["state"], told["seconds_left"]) == ("stopped", None)
    assert "last heard of while training, 120 of 300" in hinterland("watch", run, "--once").stdout


def test_a_run_on_another_machine_counts_by_its_last_word(run: Path) -> None:
    _note(run, machine="elsewhere")
    assert read_state(run).state == "running"
    _note(run, machine="elsewhere", updated=time.time() - 3600)
    assert read_state(run).state == "stopped"


def test_a_real_run_is_finished_and_took_off_or_not(hinterland: Invoke, runs: Path) -> None:
    told = as_json(hinterland("watch", runs / "binary", "--json"))
    assert told["state"] == "finished"
    assert (told["step"], told["steps"]) == (3, 3)
    assert set(told["validation"]["classes"]) == {"lesion"}
    progress = read_progress(runs / "binary")
    assert progress is not None
    assert progress.stage == "predicting and evaluating"
    assert progress.done == progress.total > 0


def test_a_log_that_is_being_written_is_read(run: Path) -> None:
    with (run / "log.csv").open("a") as file:
        file.write("train,300,train/lo")
    state = read_state(run)
    assert state.step == 300
    assert state.curve("train/loss")[-1][0] == 300


def test_a_run_without_a_log_yet(hinterland: Invoke, run: Path) -> None:
    (run / "log.csv").unlink()
    shown = hinterland("watch", run, "--once").stdout
    assert "nothing logged yet" in shown
    assert "not taken off yet" in shown


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_frame_fits_the_terminal(run: Path, width: int) -> None:
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(frame(read_state(run), width))
    assert max(map(len, console.export_text().splitlines())) <= width


def test_names_do_not_command_the_terminal(run: Path) -> None:
    evil = shutil.copytree(run, run.parent / "\x1b[2Jrun")
    with (evil / "log.csv").open("a") as file:
        file.write("train,299,val/dice/\x1b]0;x\x07[bold]lesion,0.5\n")
    console = Console(width=100, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(frame(read_state(evil), 100))
    text = console.export_text()
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[bold]lesion" in text


def test_the_page_loads_itself_again_only_while_the_run_goes_on(
    hinterland: Invoke, run: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    hinterland("watch", run, "--once", "--html", page)
    text = page.read_text()
    assert 'http-equiv="refresh"' not in text
    assert text.count('class="plot"') == 2
    _note(run, done=120, total=300, speed=4.0)
    hinterland("watch", run, "--once", "--html", page, "--every", 5)
    assert '<meta http-equiv="refresh" content="5">' in page.read_text()
    assert "45 s left" in page.read_text()


def test_the_page_shows_what_the_last_checkpoint_says(
    hinterland: Invoke, runs: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    hinterland("watch", runs / "backsplit", "--once", "--html", page)
    assert page.read_text().count("data:image/png") == 3
    assert "last checkpoint" in page.read_text()


def test_what_is_no_run_is_refused(hinterland: Invoke, tmp_path: Path) -> None:
    assert "is no run directory" in hinterland("watch", tmp_path, code=1).stderr


@pytest.mark.parametrize(
    ("points", "width", "height", "lines"),
    [
        ([(0, 0), (1, 1)], 2, 1, ["⡠⠊"]),
        ([(0, 1), (1, 0)], 1, 1, ["⢁"]),
        ([(0, 5)], 1, 1, ["⠂"]),
        ([], 2, 2, ["⠀⠀", "⠀⠀"]),
        ([(0, 0), (1, 0)], 1, 2, ["⠀", "⣀"]),
    ],
)
def test_dots_are_where_the_points_are(
    points: list[tuple[float, float]], width: int, height: int, lines: list[str]
) -> None:
    assert braille(points, width, height, y_range=(0, 1) if len(points) != 1 else None) == lines


def test_times_are_written_as_people_say_them() -> None:
    assert [clock(s) for s in (3, 90, 3600, 12_000)] == ["3 s", "2 min", "60 min", "3 h 20 min"]
