"""The troubles: each strikes a subject at several moments and says what was wrong after it."""

from __future__ import annotations

import mmap
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.reliability.moments import Moment, refused, succeeded
from benchmarks.reliability.mounts import PAGE, full_disk, read_only, refused_here
from benchmarks.reliability.snapshot import Snapshot, differences, half_files, snapshot
from benchmarks.reliability.subjects import Bench, Subject

_WRITING = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.truncate")


@dataclass(frozen=True)
class Undisturbed:
    """What a command makes when nothing happens, how long it takes, how much disk it fills."""

    snapshot: Snapshot
    seconds: float
    pages: int


def undisturbed(subject: Subject, bench: Bench) -> Undisturbed:
    """Run the command twice without any trouble.

    Raises:
        RuntimeError: It fails, or two runs differ: nothing could be said about a third.
    """
    found, seconds = [], []
    for _ in range(2):
        bench.empty()
        ended = bench.run(subject.arguments(bench))
        if subject.ended_well(ended):
            raise RuntimeError(f"{subject.name} fails without any trouble: {ended.last_words}")
        found.append(snapshot(bench.place))
        seconds.append(ended.seconds)
    if wrong := differences(found[1], found[0]):
        raise RuntimeError(f"{subject.name} twice without any trouble: {'; '.join(wrong)}")
    sizes = [p.stat().st_size for p in bench.place.rglob("*") if p.is_file()]
    pages = sum(-(-size // PAGE) for size in sizes)
    return Undisturbed(found[0], min(seconds), pages)


def kill(
    subject: Subject, bench: Bench, whole: Undisturbed, count: int, seed: int
) -> Iterator[Moment]:
    """Send signal 9 to the whole process group at moments spread over the command's duration."""
    rng = random.Random(f"{seed} {subject.name}")
    for number in range(count):
        at = (number + rng.random()) / count * whole.seconds
        moment = Moment(f"{at:.3f} s of {whole.seconds:.2f}")
        bench.empty()
        command = bench.start(subject.arguments(bench))
        ended = command.wait(at)
        if ended is None:
            command.kill()
            ended = command.end()
        moment.cost(ended)
        yield _gone_on(moment, subject, bench, whole)


def kill_at_operations(
    subject: Subject, bench: Bench, whole: Undisturbed, count: int, seed: int
) -> Iterator[Moment]:
    """Send signal 9 right before a file is opened, renamed, removed, ...: at random ones of all."""
    bench.empty()
    seen = mmap.mmap(-1, 8)
    bench.start(subject.arguments(bench), lambda: _count_operations(bench.place, seen)).end()
    total = int.from_bytes(seen[:], "little")
    chosen = random.Random(f"{seed} {subject.name}").sample(range(total), min(count, total))
    for number in sorted(chosen):
        moment = Moment(f"file operation {number + 1} of {total}")
        bench.empty()
        seen[:] = bytes(8)
        command = bench.start(
            subject.arguments(bench),
            lambda n=number: _count_operations(bench.place, seen, n),  # type: ignore[misc]
        )
        moment.cost(command.end())
        yield _gone_on(moment, subject, bench, whole)


def _count_operations(place: Path, seen: mmap.mmap, last: int | None = None) -> None:
    """Count the file operations of this process and its children; be killed before number `last`.

    What is changed must lie in `place`.
    """

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            writes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if not writes:
                return
        elif event not in _WRITING:
            return
        if not str(arguments[0]).startswith(str(place)):
            return
        number = int.from_bytes(seen[:], "little")
        if number == last:
            os.killpg(0, signal.SIGKILL)
        seen[:] = (number + 1).to_bytes(8, "little")

    sys.addaudithook(hook)


def _gone_on(moment: Moment, subject: Subject, bench: Bench, whole: Undisturbed) -> Moment:
    """Look at what a stop left, go on, and hold the end against that of an undisturbed run."""
    left = snapshot(bench.place)
    if not differences(left, whole.snapshot):
        return moment  # it was done, but for saying so
    moment.wrong += half_files(left, whole.snapshot, subject.grows)
    after = moment.cost(bench.run(subject.go_on(bench)))
    moment.wrong += subject.ended_well(after)
    if not moment.wrong:
        moment.wrong += differences(snapshot(bench.place), whole.snapshot)
    return moment


def disk_full(
    subject: Subject, bench: Bench, whole: Undisturbed, count: int, seed: int
) -> Iterator[Moment]:
    """Give the command a file system that holds a part of what it needs; then make room."""
    del seed
    if why := refused_here():
        yield Moment("", skipped=why)
        return
    before = snapshot(bench.base)
    for number in range(count):
        pages = int(whole.pages * (number + 0.5) / count)
        moment = Moment(f"room for {pages} of {whole.pages} pages")
        bench.empty()
        with full_disk(bench.place, pages) as make_room:
            ended = moment.cost(bench.run(subject.arguments(bench)))
            moment.wrong += refused(ended, (str(bench.place),)) if ended.code else []
            make_room()
            _gone_on(moment, subject, bench, whole)
        moment.wrong += differences(snapshot(bench.base), before)
        yield moment


def together(
    subject: Subject, bench: Bench, whole: Undisturbed, count: int, seed: int
) -> Iterator[Moment]:
    """Start the same command twice: one at least ends well, the other says that it is not alone."""
    rng = random.Random(f"{seed} {subject.name}")
    for number in range(count):
        delay = number / count * whole.seconds * rng.random()
        moment = Moment(f"the second {delay:.2f} s after the first")
        bench.empty()
        commands = [bench.start(subject.arguments(bench))]
        time.sleep(delay)
        commands.append(bench.start(subject.arguments(bench)))
        ended = [moment.cost(command.end()) for command in commands]
        if all(e.code for e in ended):
            moment.wrong.append(f"both failed: {ended[0].last_words}")
        for one in ended:
            moment.wrong += refused(one, (str(bench.place),)) if one.code else []
        moment.wrong += differences(snapshot(bench.place), whole.snapshot)
        yield moment


def clock_jumps(
    subject: Subject, bench: Bench, whole: Undisturbed, count: int, seed: int
) -> Iterator[Moment]:
    """Let the wall clock jump by years at every look, and give all inputs times to come."""
    for number in range(count):
        moment = Moment(f"jumps of up to {10 * (number + 1)} years")
        bench.empty()
        jump = _jumping(10 * (number + 1), seed)
        with _dated(bench.base, 10 * (number + 1)):
            ended = moment.cost(bench.start(subject.arguments(bench), jump).end())
        moment.wrong += succeeded(ended) or differences(snapshot(bench.place), whole.snapshot)
        yield moment


@contextmanager
def _dated(folder: Path, years: int) -> Iterator[None]:
    """Let all files seem to be written years from now; their own times come back afterwards."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    times = {path: path.stat() for path in files}
    ahead = time.time() + years * 365.25 * 86400
    for path in files:
        os.utime(path, (ahead, ahead))
    try:
        yield
    finally:
        for path, stat in times.items():
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def _jumping(years: int, seed: int) -> Callable[[], None]:
    def begin() -> None:
        rng, now = random.Random(seed), time.time
        range_ = years * 365.25 * 86400
        time.time = lambda: now() + rng.uniform(-range_, range_)
        time.time_ns = lambda: int(time.time() * 1e9)

    return begin


def read_only_folders(
    subject: Subject, bench: Bench, whole: Undisturbed, count: int, seed: int
) -> Iterator[Moment]:
    """Inputs that cannot be written to change nothing; nor does an output folder, but a message."""
    del seed, count
    if why := refused_here():
        yield Moment("", skipped=why)
        return
    moment = Moment("all inputs")
    bench.empty()
    with read_only(bench.base):
        ended = moment.cost(bench.run(subject.arguments(bench)))
    moment.wrong += succeeded(ended) or differences(snapshot(bench.place), whole.snapshot)
    yield moment
    moment = Moment("output and cache")
    bench.empty()
    with read_only(bench.place):
        ended = moment.cost(bench.run(subject.arguments(bench)))
    moment.wrong += refused(ended, (str(bench.place),))
    yield _gone_on(moment, subject, bench, whole)


TROUBLES = {
    "kill": kill,
    "kill-at-operation": kill_at_operations,
    "disk-full": disk_full,
    "two-at-once": together,
    "clock-jumps": clock_jumps,
    "read-only": read_only_folders,
}
