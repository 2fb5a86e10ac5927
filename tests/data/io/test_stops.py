"""What processes that were killed leave behind, and how others keep out of each other's way."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from hinterland.data.io import files
from hinterland.data.io.files import atomic_path, remove, sweep, temporary_name, write_text
from hinterland.data.io.journal import Journal, journal
from hinterland.data.io.lock import alone
from hinterland.export.folder import fresh_output
from hinterland.types import HinterlandError

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def _new_process():
    """Each test begins as a process does that has not swept any folder."""
    sweep.cache_clear()


def killed_while(function, *arguments):
    """Call a function in a process of its own that is killed by signal 9 at `die()`."""
    process = FORK.Process(target=function, args=arguments)
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def write_half(path, folder):
    with atomic_path(path) as temporary:
        if folder:
            temporary.mkdir()
            (temporary / "a").write_text("half")
        else:
            temporary.write_text("half")
        die()


@pytest.mark.parametrize("folder", [False, True])
def test_the_next_writer_sweeps_away_what_a_killed_one_left(tmp_path, folder):
    killed_while(write_half, tmp_path / "whole", folder)
    assert len(list(tmp_path.iterdir())) == 1
    write_text(tmp_path / "other", "text")
    assert [p.name for p in tmp_path.iterdir()] == ["other"]


def test_what_a_living_process_writes_is_left_alone(tmp_path):
    with atomic_path(tmp_path / "slow") as temporary:
        temporary.write_text("begun")
        process = FORK.Process(target=write_text, args=(tmp_path / "quick", "text"))
        process.start()
        process.join(30)
        assert process.exitcode == 0
        assert temporary.is_file()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["quick", "slow"]


def test_a_process_that_nobody_has_buried_is_dead(tmp_path):
    child = os.fork()
    if child == 0:
        os._exit(0)
    left = tmp_path / temporary_name(tmp_path / "a").name.replace(f"-{os.getpid()}.", f"-{child}.")
    left.write_text("half")
    deadline = time.monotonic() + 10
    while files.lives(child):
        assert time.monotonic() < deadline
    sweep(tmp_path)
    os.waitpid(child, 0)
    assert not left.exists()


@pytest.mark.parametrize(("hours", "stays"), [(1, True), (25, False)])
def test_what_other_machines_left_counts_as_abandoned_after_a_day(tmp_path, hours, stays):
    left = tmp_path / ".tmp-zzzz-1.scan.nii.gz"
    left.write_text("half")
    then = time.time() - hours * 3600
    os.utime(left, (then, then))
    sweep(tmp_path)
    assert left.exists() is stays


def test_a_folder_is_removed_at_once_or_not_at_all(tmp_path, monkeypatch):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("")

    monkeypatch.setattr(files.shutil, "rmtree", lambda *_, **__: None)
    remove(run)
    assert not run.exists()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(files.TEMPORARY)
    assert [p.name for p in left.iterdir()] == ["config.yaml"]


def test_what_is_to_take_a_folders_place_is_not_removed_with_it(tmp_path):
    model = tmp_path / "model"
    for text in ("old", "new"):
        with fresh_output(model, overwrite=True) as temporary:
            temporary.mkdir()
            (temporary / "plans.json").write_text(text)
    assert (model / "plans.json").read_text() == "new"
    assert list(tmp_path.iterdir()) == [model]


def test_a_file_that_is_too_large_here_is_said_to_be(tmp_path):
    def write():
        with atomic_path(tmp_path / "big") as temporary:
            temporary.write_text("")
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    with pytest.raises(HinterlandError, match=r"big cannot be written: .*larger than is allowed"):
        write()


def hold(path, ready, seconds):
    with alone(path, "it"):
        ready.set()
        time.sleep(seconds)


def test_a_second_process_is_kept_out_until_the_first_has_ended_however_it_ends(tmp_path):
    ready = FORK.Event()
    process = FORK.Process(target=hold, args=(tmp_path, ready, 60))
    process.start()
    assert ready.wait(30)
    with pytest.raises(HinterlandError, match=r"another process is working on it"), \
            alone(tmp_path, "it"):  # fmt: skip
        pass
    process.kill()
    process.join()
    with alone(tmp_path, "it"):
        pass
    with alone(tmp_path, "it"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_child_that_outlives_its_parent_keeps_nobody_out(tmp_path):
    reading, writing = os.pipe()
    with alone(tmp_path, "it"):
        child = os.fork()
        if child == 0:
            os.write(writing, b"alive")
            time.sleep(60)
            os._exit(0)
    try:
        assert os.read(reading, 5) == b"alive"
        with alone(tmp_path, "it"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def write_two_of_three(folder):
    with journal(folder, {"a": 1}) as written:
        for number in range(3):
            path = folder / f"{number}.png"
            written.begin(path)
            path.write_text(f"by the journal {number}")
            if number == 2:
                die()
            written.finish(path)


def test_a_journal_tells_its_own_files_after_a_stop(tmp_path):
    killed_while(write_two_of_three, tmp_path)
    zero, one, two, foreign = (tmp_path / f"{n}.png" for n in (0, 1, 2, 3))
    foreign.write_text("of somebody else")
    with journal(tmp_path, {"a": 2}) as other:  # another command
        assert not any(map(other.ours, (zero, one, two, foreign)))
    with journal(tmp_path, {"a": 1}) as written:
        assert written.finished(zero, one)
        assert not written.finished(two)
        assert written.ours(two)
        assert not written.ours(foreign)
        one.write_text("replaced by somebody else")
        assert not written.ours(one)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.png", "1.png", "2.png", "3.png"]


def test_a_line_that_was_cut_short_is_left_out_and_spoils_no_other(tmp_path):
    file, a, b = tmp_path / ".unfinished", tmp_path / "a.png", tmp_path / "b.png"
    for path in (a, b):
        path.write_text(path.name)
    file.touch()
    Journal(file).finish(a)
    with file.open("a") as stream:
        stream.write('\n["b.pn')
    Journal(file).finish(b)
    assert Journal(file).finished(a, b)


def test_an_error_before_the_first_file_leaves_nothing(tmp_path):
    def refused(folder: Path) -> None:
        with journal(folder, {}):
            raise HinterlandError("no")

    with pytest.raises(HinterlandError, match="no"):
        refused(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_without_a_file_a_journal_knows_nothing(tmp_path):
    path = tmp_path / "a.png"
    path.write_text("a")
    nothing = Journal()
    nothing.begin(path)
    nothing.finish(path)
    assert not nothing.ours(path)
    assert not nothing.finished(path)
