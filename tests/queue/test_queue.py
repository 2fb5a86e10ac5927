"""The folder queue: one winner a claim, death seen without clocks, retries, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from hinterland.queue import exclusive
from hinterland.queue.exclusive import create, machine
from hinterland.queue.folder import Queue, last_words
from hinterland.queue.job import MOST_LOST, Claim, Job
from hinterland.queue.request import JobRequest
from hinterland.queue.watch import PATIENCE, Watch
from hinterland.queue.worker import Worker
from hinterland.types import HinterlandError

ELSEWHERE = Claim("far", "another machine", 1, 2.0)


def asked(*words: str, tries: int = 3) -> JobRequest:
    return JobRequest(words, "/", tries=tries)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Queue(tmp_path / "q").add(asked("check", "data"))


@pytest.mark.parametrize("links", [True, False])
def test_of_many_writers_one_wins_and_no_reader_sees_a_part(tmp_path, monkeypatch, links):
    if not links:  # a disk that knows no links

        def refuse(*_: object) -> None:
            raise OSError(95, "Operation not supported")

        monkeypatch.setattr(Path, "hardlink_to", refuse)
    for number in range(20):
        path, barrier = tmp_path / f"{number}.claim", threading.Barrier(8)

        def write(who: int, path=path, barrier=barrier) -> bool:
            barrier.wait()
            return create(path, f"{who}")

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(write, range(8)))
        assert won.count(True) == 1
        assert path.read_text() == str(won.index(True))
    assert len(list(tmp_path.iterdir())) == 20


def test_a_full_or_forbidden_folder_is_one_message(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exclusive.Path, "hardlink_to", full)
    with pytest.raises(HinterlandError, match=r"1\.claim cannot be written: no space"):
        create(tmp_path / "1.claim", "x")


def test_the_same_command_is_one_job_and_jobs_keep_their_order(tmp_path):
    queue = Queue(tmp_path / "q")
    names = [queue.add(asked("train", "data", "--seed", str(n))).name for n in range(5)]
    assert queue.add(asked("train", "data", "--seed", "2")).name == names[2]
    assert [job.name for job in queue.jobs()] == names
    assert queue.add(replace(asked("check"), folder="/tmp")).name not in names
    assert queue.counts() == {"waiting": 6, "running": 0, "done": 0, "failed": 0}
    assert Job(queue.jobs()[1].path).request == asked("train", "data", "--seed", "1")


def test_a_beat_that_changes_keeps_a_job_whatever_the_clocks_say(job):
    now = 0.0
    watch = Watch(lambda: now)
    assert job.claim(1, ELSEWHERE)
    for count in range(30):
        job.beat(1, count)
        os.utime(job.path / "1.beat", (10.0**9 * (count % 3), 0))  # the disk's clock jumps
        assert not watch.dead(job, 1)
        now += PATIENCE * ELSEWHERE.every - 0.1
    job.beat(1, 99)
    assert not watch.dead(job, 1)
    now += PATIENCE * ELSEWHERE.every
    assert not watch.dead(job, 1)
    now += 0.1
    assert watch.dead(job, 1)
    assert not Watch(lambda: now).dead(job, 1)  # one who has just come must wait as long


def test_a_dead_process_of_this_machine_is_seen_at_once(job):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    job.claim(1, Claim("here", machine(), ended.pid, 1000.0))
    assert Watch().dead(job, 1)
    job.claim(2, Claim("here", machine(), os.getpid(), 1000.0))
    assert not Watch().dead(job, 2)


def test_states_follow_from_files(job):
    assert (job.state, job.latest) == ("waiting", 0)
    for number in (1, 2):
        assert job.claim(number, ELSEWHERE)
        assert not job.claim(number, ELSEWHERE)
        assert job.state == "running"
        job.end(number, "failed", 1, 0.5)
        assert job.state == "waiting"
    job.claim(3, ELSEWHERE)
    job.end(3, "stopped", None, 0.5)  # given back: no failure
    job.claim(4, ELSEWHERE)
    job.claim(5, ELSEWHERE)  # taken over: 4 is lost
    assert job.state == "running"
    job.end(5, "failed", 1, 0.5)
    assert (job.state, job.failures) == ("failed", 3)
    queue = Queue(job.path.parents[1])
    assert queue.add(job.request).state == "waiting"  # asked again
    job.claim(6, ELSEWHERE)
    job.end(6, "done", 0, 0.5)
    assert queue.add(job.request).state == "done"
    assert queue.add(job.request, anew=True).state == "waiting"


def test_the_first_end_of_an_attempt_stands(job):
    job.claim(1, ELSEWHERE)
    job.end(1, "done", 0, 0.1)
    job.end(1, "stopped", None, 0.2)  # the worker was told to stop at that moment
    assert job.state == "done"


def test_a_usage_error_is_not_tried_again(job):
    job.claim(1, ELSEWHERE)
    job.end(1, "failed", 2, 0.1)
    assert job.state == "failed"


def test_a_job_that_loses_all_its_workers_is_given_up(job):
    for number in range(1, MOST_LOST + 2):
        assert not job.hopeless
        job.claim(number, ELSEWHERE)
    assert job.hopeless


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "is no request"),
        ('{"words": ["a"]}', "is no request"),
        ('{"words": ["-c", "x"], "folder": "/", "program": "os", "tries": 1}', "program 'os'"),
    ],
)
def test_strange_requests_are_refused(tmp_path, content, message):
    with pytest.raises(HinterlandError, match=message):
        JobRequest.parse(content, tmp_path / "request.json")


def test_a_damaged_request_stops_no_other_job(job):
    queue, told = Queue(job.path.parents[1]), []
    other = queue.add(JobRequest.here(["check", "elsewhere"]))
    (job.path / "request.json").write_text("[")
    assert (job.state, other.state) == ("failed", "waiting")
    worker = Worker(queue, every=0.2, say=told.append)
    taken = worker._take()
    assert taken is not None
    assert (taken[0].name, taken[1]) == (other.name, 1)
    taken[0].end(1, "done", 0, 0.0)
    assert worker._take() is None
    assert [line for line in told if "is no request of a queue" in line and job.name in line]
    with pytest.raises(HinterlandError, match="is no request of a queue"):
        queue.wait([job], seconds=0)


def test_a_folder_that_is_no_queue_is_refused(tmp_path):
    with pytest.raises(HinterlandError, match="is no queue"):
        Queue.there(tmp_path)


def test_waiting_ends_with_the_last_job_or_with_a_failure(job):
    queue, told = Queue(job.path.parents[1]), []
    job.claim(1, ELSEWHERE)
    job.log(1).write_text("a\nerror: the data are at fault.\n\n")
    job.end(1, "failed", 2, 0.1)
    assert last_words(job) == "error: the data are at fault."
    with pytest.raises(HinterlandError, match=r"`check data` failed .* the data are at fault\."):
        queue.wait([job], seconds=0)
    queue.add(job.request)
    job.claim(2, ELSEWHERE)
    job.end(2, "done", 0, 0.1)
    queue.wait([job], lambda *a: told.append(a[:2]), seconds=0)
    assert told == [(1, 1)]


SLEEPER = """
import sys, time
from pathlib import Path
name, seconds = sys.argv[1:]
with open("made.txt", "a") as file:
    file.write(f"begin {name}\\n")
time.sleep(float(seconds))
if name.startswith("bad"):
    sys.exit(1)
with open("made.txt", "a") as file:
    file.write(f"{name}\\n")
"""


@pytest.fixture
def sleepers(tmp_path: Path) -> Path:
    """A folder with a program `benchmarks.sleeper NAME SECONDS` in the place of a heavy one."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").touch()
    (tmp_path / "benchmarks" / "sleeper.py").write_text(SLEEPER)
    return tmp_path


def sleeper(folder: Path, name: str, seconds: float) -> JobRequest:
    return JobRequest((name, str(seconds)), str(folder), "benchmarks.sleeper", tries=2)


def made(folder: Path) -> Counter[str]:
    return Counter((folder / "made.txt").read_text().split("\n"))


@pytest.mark.slow
def test_workers_share_jobs_and_try_failures_again(sleepers):
    queue = Queue(sleepers / "q")
    for name in ("one", "bad", "two", "three"):
        queue.add(sleeper(sleepers, name, 0.1))
    workers = [Worker(queue, every=0.2, say=lambda _: None) for _ in range(2)]
    threads = [threading.Thread(target=w.work, args=(True,)) for w in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert queue.counts() == {"waiting": 0, "running": 0, "done": 3, "failed": 1}
    found = made(sleepers)
    assert [found[name] for name in ("one", "two", "three", "begin bad")] == [1, 1, 1, 2]


def _worker(queue: Queue) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "hinterland", "queue", "work", str(queue.path),
               "--until-empty", "--alive", "0.2"]  # fmt: skip
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def _until(condition) -> None:
    ready = threading.Event()
    for _ in range(600):
        if condition():
            return
        ready.wait(0.1)
    raise AssertionError("waited a minute in vain")


@pytest.mark.slow
@pytest.mark.parametrize("politely", [False, True])
def test_a_worker_that_is_killed_takes_its_command_with_it(sleepers, politely):
    queue = Queue(sleepers / "q")
    job = queue.add(sleeper(sleepers, "long", 60 if politely else 8))
    first = _worker(queue)
    _until(lambda: (sleepers / "made.txt").is_file())
    first.terminate() if politely else first.kill()
    first.wait(30)
    if politely:
        assert job.state == "waiting"  # given back at once, and not as a failure
        assert job.failures == 0
        return
    assert job.state == "running"  # as nobody has looked yet
    second = Worker(queue, every=0.2, say=lambda _: None)
    assert second.work(True) == 1
    assert (job.state, job.latest) == ("done", 2)
    assert made(sleepers)["begin long"] == 2
    assert made(sleepers)["long"] == 1  # the first command died with its worker


@pytest.mark.slow
def test_a_worker_that_only_slept_stops_when_its_job_is_taken(sleepers):
    queue = Queue(sleepers / "q")
    job = queue.add(sleeper(sleepers, "long", 60))
    told: list[str] = []
    worker = Worker(queue, every=0.2, say=told.append)
    thread = threading.Thread(target=worker.work, args=(True,))
    thread.start()
    _until(lambda: (sleepers / "made.txt").is_file())
    assert job.claim(2, ELSEWHERE)
    job.end(2, "done", 0, 1.0)
    thread.join(60)
    assert not thread.is_alive()
    assert any("stopped" in line for line in told)
    assert set(job.ends) == {2}
    assert made(sleepers)["long"] == 0


def test_claims_and_ends_are_plain_json(job):
    job.claim(1, ELSEWHERE)
    job.end(1, "failed", -9, 3.14159)
    read = {p.name: json.loads(p.read_text()) for p in job.path.glob("1.*")}
    assert read["1.claim"] == {"host": "far", "machine": "another machine", "process": 1,
                               "every": 2.0}  # fmt: skip
    assert (read["1.ended"]["code"], read["1.ended"]["seconds"]) == (-9, 3.1)
