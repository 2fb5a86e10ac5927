"""Carry out a `RunRequest`: start a run, go on with it, or find it finished."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

import torch

from hinterland.data.io.lock import alone
from hinterland.data.planning.plan_dataset import data_fingerprint
from hinterland.data.preprocessing.cache import prepare
from hinterland.methods import Method
from hinterland.training.device import process_rank
from hinterland.training.loop.segmentation import SegmentationTrainer
from hinterland.training.loop.trainer import Report
from hinterland.training.progress_note import ProgressNote
from hinterland.training.runs.new_run import Stage, start_run
from hinterland.training.runs.outcome import finish_run
from hinterland.training.runs.request import RunRequest
from hinterland.training.runs.run import Run
from hinterland.training.runs.run_folder import is_run, refuse_taken
from hinterland.training.runs.teachers import load_teachers
from hinterland.types import Dataset, HinterlandError, Plan

log = logging.getLogger(__name__)

Existing = Literal["resume", "refuse", "replace"]


def run_or_resume(
    request: RunRequest,
    out: Path | str,
    *,
    existing: Existing = "resume",
    report: Report | None = None,
    stage: Stage | None = None,
    progress: Callable[[int, int], None] | None = None,
    finish: bool = True,
) -> Run:
    """Train, go on with, or only open the run of a request.

    All training of the project passes through here. A new run is planned, preprocessed, trained
    and then predicts and evaluates the cases that it has not seen; nothing is written into `out`,
    and nothing there is deleted, before all that can be checked without training is checked.

    Args:
        request: The run to carry out.
        out: The run directory.
        existing: What to do with a run that is there: "resume" it if it is the run of this request
            (a finished one is only opened), "refuse" it, or "replace" it.
        report: Called with (steps done, steps, message) while training, and likewise for volumes
            while predicting.
        stage: Called with the name of each stage as it begins.
        progress: Called with (cases done, cases) while measuring and preprocessing.
        finish: Whether to predict and evaluate after training.

    Returns:
        The run.

    Raises:
        HinterlandError: The request cannot be carried out, or `out` holds something else.
    """
    path, say = Path(out), stage or log.info
    if existing == "resume" and is_run(path):
        run = _opened(request, path)
        return run if run.finished else resume(path, report=report, stage=stage, finish=finish)
    with ExitStack() as held:
        if process_rank(request.config.devices) == 0:
            replace = existing == "replace"
            refuse_taken(path, replace)
            dataset = start_run(request, path, replace, progress, say, held)
        else:
            _wait_for(path / "config.yaml")
            dataset = Run(path).record.present(request.with_virtual_classes().dataset)
        return _go(Run(path), dataset, report or (lambda *_: None), say, finish)


def begin(
    request: RunRequest, out: Path | str, *, progress: Callable[[int, int], None] | None = None
) -> Run:
    """Make the run of a request up to its first step, for `resume` to train it, here or elsewhere.

    Args:
        request: The run to start.
        out: The run directory. The run of this request that is there already is only opened.
        progress: Called with (cases done, cases) while measuring and preprocessing.

    Returns:
        The run.

    Raises:
        HinterlandError: The request cannot be carried out, or `out` holds something else.
    """
    path = Path(out)
    if is_run(path):
        return _opened(request, path)
    refuse_taken(path, False)
    with ExitStack() as held:
        start_run(request, path, False, progress, log.info, held)
    return Run(path)


def _opened(request: RunRequest, path: Path) -> Run:
    """Open a run that is there; HinterlandError for one of another request."""
    run = Run(path)
    if different := request.differences(run.record):
        raise HinterlandError(
            f"{path} holds a run of another request ({', '.join(different)}). Choose another "
            "--out, or remove it."
        )
    return run


def train(
    dataset: Dataset,
    plan: Plan,
    method: Method[Any],
    *,
    out: Path | str,
    overwrite: bool = False,
    report: Report | None = None,
    stage: Stage | None = None,
    finish: bool = True,
    **asked: Any,
) -> Run:
    """Train a method on a data set, then predict and evaluate the cases it has not seen.

    Args:
        dataset: What is trained on.
        plan: What `hl.plan` gave for it.
        method: What is learnt, such as `hl.methods.Supervised(on=tree.leaves)`.
        out: The run directory. It must not be there, unless `overwrite`.
        overwrite: Whether a run that is there is replaced.
        report: Called with (steps done, steps, message) while training, and likewise for volumes
            while predicting.
        stage: Called with the name of each stage as it begins.
        finish: Whether to predict and evaluate after training.
        asked: Further fields of `RunRequest`: fold, config, labelled, fine, naive, noise,
            init_from, labels.

    Returns:
        The finished run.

    Raises:
        HinterlandError: The request cannot be carried out, or `out` is there already.

    >>> import tempfile
    >>> from pathlib import Path
    >>> import hinterland as hl
    >>> place = tempfile.TemporaryDirectory()
    >>> folder = Path(place.name)
    >>> cases = hl.read_dataset(hl.make_phantoms(folder / "phantoms", (3, 1, 2), dims=2, size=32))
    >>> method = hl.methods.Supervised(on=cases.labels.tree.leaves)
    >>> asked = {"fold": "fixed", "config": hl.make_config({"steps": 2})}
    >>> run = train(cases, hl.plan(cases), method, out=folder / "run", **asked)
    >>> run.finished, run.summary["steps"], len(list((run.path / "predictions").glob("*.png")))
    (True, 2, 2)
    """
    if asked.get("init_from") is not None:
        asked["init_from"] = Path(asked["init_from"])
    request = RunRequest.of(dataset, method, plan=plan, **asked)
    existing: Existing = "replace" if overwrite else "refuse"
    return run_or_resume(request, out, existing=existing, report=report, stage=stage, finish=finish)


def resume(
    out: Path | str,
    *,
    report: Report | None = None,
    stage: Stage | None = None,
    finish: bool = True,
) -> Run:
    """Go on from the last checkpoint; end equal to the run that was never stopped.

    Args:
        out: The run directory. A finished run is evaluated again.
        report: Called with (steps done, steps, message) while training, and likewise for volumes
            while predicting.
        stage: Called with the name of each stage as it begins.
        finish: Whether to predict and evaluate after training.

    Returns:
        The finished run.

    Raises:
        HinterlandError: There is no such run, or its data set has changed.

    >>> import tempfile
    >>> import hinterland as hl
    >>> place = tempfile.TemporaryDirectory()
    >>> folder = Path(place.name)
    >>> cases = hl.read_dataset(hl.make_phantoms(folder / "phantoms", (3, 1, 2), dims=2, size=32))
    >>> method = hl.methods.Supervised(on=cases.labels.target)
    >>> asked = {"fold": "fixed", "config": hl.make_config({"steps": 2}), "finish": False}
    >>> run = train(cases, hl.plan(cases), method, out=folder / "run", **asked)
    >>> run.finished, resume(folder / "run").finished
    (False, True)
    """
    run = Run(Path(out))
    dataset = run.dataset
    now = data_fingerprint(dataset)
    if run.record.plan.fingerprint != now:
        raise HinterlandError(
            f"the data set {dataset.root} is not the one that {out} was trained on (fingerprint "
            f"{now}, expected {run.record.plan.fingerprint}). Restore it, or train a new run."
        )
    with alone(run.path, str(run.path)) if process_rank() == 0 else nullcontext():
        return _go(run, dataset, report or (lambda *_: None), stage or log.info, finish)


def _go(run: Run, dataset: Dataset, report: Report, say: Stage, finish: bool) -> Run:
    """Train from the last checkpoint, or from nothing, to the end."""
    record = run.record
    record.refuse_missing(dataset)
    names = [n for part in record.split.values() for n in part]
    prepared = prepare(dataset, record.plan, cases=[dataset[n] for n in names])
    first = process_rank(record.train.devices) == 0
    note = ProgressNote(run.path, report) if first else None
    report = note or report

    def begin(what: str) -> None:
        if note:
            note.stage(what)
        say(what)

    begin("training")
    started = time.monotonic()
    with _global_settings():
        SegmentationTrainer(
            run.path, record, dataset, prepared, report, load_teachers(record)
        ).fit()
    if first and finish:
        begin("predicting and evaluating")
        finish_run(run, dataset, seconds=time.monotonic() - started, report=report)
    return run


def _wait_for(file: Path, seconds: float = 3600) -> None:
    """Wait until the first process of the run has prepared it.

    A process that Lightning launched starts after that; under torchrun or SLURM all start at
    once, and a file from before this process belongs to an earlier run.
    """
    started = time.time() if {"TORCHELASTIC_RUN_ID", "SLURM_PROCID"} & os.environ.keys() else 0.0
    end = time.monotonic() + seconds
    while not (file.is_file() and file.stat().st_mtime >= started - 60):
        if time.monotonic() > end:
            raise HinterlandError(
                f"waited {seconds:.0f} s for {file}; did the first process fail?"
                " Look at its output, then start all processes again."
            )
        time.sleep(0.5)


@contextmanager
def _global_settings() -> Iterator[None]:
    """Leave torch's global switches as they were."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    switches = cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32
    state = torch.get_rng_state()
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic)
        cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = switches
        torch.set_rng_state(state)
