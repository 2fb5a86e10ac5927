"""Runs trained by the workers of a queue are the runs that are trained here, byte for byte."""

from __future__ import annotations

import threading

import pytest

import hinterland as hl
from hinterland.data.dataset.read import read_dataset
from hinterland.data.planning.plan_dataset import PlanOptions, plan_dataset
from hinterland.queue.folder import Queue
from hinterland.queue.worker import Worker
from hinterland.studies.runner import train_all
from hinterland.training.config import make_config
from hinterland.training.runs.request import RunRequest
from hinterland.types import HinterlandError

TINY = {
    "steps": 2, "batch_size": 2, "patch_size": [16, 16], "precision": "fp32",
    "accelerator": "cpu", "network_options": {"features": [4, 8]},
    "validation": {"interval": 2, "mirror": False},
}  # fmt: skip


@pytest.fixture
def requests(tmp_path, monkeypatch):
    monkeypatch.setenv("HINTERLAND_CACHE", str(tmp_path / "cache"))
    data = read_dataset(hl.make_phantoms(tmp_path / "data", (3, 1, 2), dims=2, size=32))
    plan = plan_dataset(data, PlanOptions(2))

    def of(out, **more):
        asked = {"fold": "fixed", "plan": plan, "config": make_config(TINY), **more}
        return RunRequest(data, on=("target",), **asked)

    return lambda out: {"first": of(out), "tuned": of(out, init_from=out / "first")}


@pytest.mark.slow
def test_a_queue_trains_the_same_runs_and_the_source_first(requests, tmp_path):
    here = [run.summary for run in train_all(tmp_path / "here", requests(tmp_path / "here"))]
    stop, queue = threading.Event(), Queue(tmp_path / "q")
    worker = Worker(queue, every=0.5, say=lambda _: None, stop=stop)
    thread = threading.Thread(target=worker.work, args=(False,))
    thread.start()
    out, told = tmp_path / "there", []
    try:
        asked = train_all(out, requests(out), stage=told.append, queue=queue.path)
        there = [run.summary for run in asked]
    finally:
        stop.set()
        thread.join()
    assert f"hinterland queue work {queue.path}" in told[0]
    timeless = [[{k: v for k, v in s.items() if k != "seconds_training"} for s in found]
                for found in (here, there)]  # fmt: skip
    assert timeless[0] == timeless[1]
    for name in ("first", "tuned"):
        tables = [(tmp_path / w / name / "metrics.csv").read_bytes() for w in ("here", "there")]
        assert tables[0] == tables[1]
    jobs = queue.jobs()
    assert [job.latest for job in jobs] == [1, 1]
    assert [job.request.words[1].rpartition("/")[2] for job in jobs] == ["first", "tuned"]


def test_a_run_that_fails_in_the_queue_stops_the_study(requests, tmp_path):
    out, queue = tmp_path / "there", Queue(tmp_path / "q")

    def fail() -> None:
        while not (jobs := queue.jobs()):
            stop.wait(0.1)
        jobs[0].claim(1, Claim("h", "m", 1, 1.0))
        jobs[0].log(1).write_text("error: no GPU.")
        jobs[0].end(1, "failed", 2, 0.1)

    from hinterland.queue.job import Claim

    stop = threading.Event()
    thread = threading.Thread(target=fail)
    thread.start()
    with pytest.raises(HinterlandError, match=r"failed in the queue: error: no GPU\."):
        list(train_all(out, requests(out), queue=queue.path))
    thread.join()
