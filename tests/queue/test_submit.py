"""Workers by a scheduler: submitit's local executor does a queue's jobs, as SLURM's would."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hinterland.queue.folder import Queue
from hinterland.queue.request import JobRequest
from hinterland.queue.submit import submit_workers
from hinterland.types import HinterlandError

submitit = pytest.importorskip("submitit", reason="submitit is not installed")


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    queue = Queue(tmp_path / "q")
    for command in (["check", "--help"], ["plan", "--help"], ["train", "--help"]):
        queue.add(JobRequest(tuple(command), str(tmp_path)))
    return queue


@pytest.mark.slow
def test_an_array_of_local_workers_does_all_jobs(queue, monkeypatch):
    made = []
    submit = submitit.LocalExecutor._submit_command

    def remember(self, command):
        made.append(submit(self, command))
        return made[-1]

    monkeypatch.setattr(submitit.LocalExecutor, "_submit_command", remember)
    names = submit_workers(queue.path, 2, "local", {"timeout_min": 5})
    assert len(names) == len(made) == 2
    for job in made:
        job.wait()
    assert queue.counts() == {"waiting": 0, "running": 0, "done": 3, "failed": 0}
    assert [job.latest for job in queue.jobs()] == [1, 1, 1]
    assert "hinterland" in queue.jobs()[0].log(1).read_text()


def test_what_slurm_is_told(queue, tmp_path, monkeypatch):
    """The script that `sbatch` gets: an array of workers that end with the queue."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sbatch").write_text(
        f'#!/bin/sh\ncp "$1" {tmp_path}/script.sh\necho "Submitted batch job 17"\n'
    )
    (folder / "srun").write_text("#!/bin/sh\n")
    for file in folder.iterdir():
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{Path(shutil.which('sh') or '/bin/sh').parent}")
    names = submit_workers(
        queue.path, 3, "slurm", {"timeout_min": 90, "slurm_partition": "gpu", "gpus_per_node": 1}
    )
    assert names == ["17_0", "17_1", "17_2"]
    script = (tmp_path / "script.sh").read_text()
    for line in ("--array=0-2", "--time=90", "--partition=gpu", "--gpus-per-node=1"):
        assert f"#SBATCH {line}" in script


@pytest.mark.parametrize(
    ("scheduler", "options", "message"),
    [("pbs", {}, "--submit pbs: expected slurm or local"), ("local", {"colour": 1}, "colour")],
)
def test_what_a_scheduler_does_not_know_is_refused(queue, scheduler, options, message):
    with pytest.raises(HinterlandError, match=message):
        submit_workers(queue.path, 1, scheduler, options)
