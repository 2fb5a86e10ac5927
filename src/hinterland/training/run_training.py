"""Train a run, or go on with one."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from hinterland.data.io.files import dataset_hash
from hinterland.data.preprocessing.cache import prepare
from hinterland.methods import Method
from hinterland.methods.regularisers.registry import build_regularisers
from hinterland.training.checkpoint import save_checkpoint
from hinterland.training.config import TrainConfig
from hinterland.training.device import hardware, process_rank, versions
from hinterland.training.fine_tuning import cell_counts, inherit_settings, start_from
from hinterland.training.optimisers import refuse_unknown_optimisers
from hinterland.training.record import RunRecord, record_of
from hinterland.training.run import Run
from hinterland.training.supervision import split_cases
from hinterland.training.trainer import INITIAL, Report, Trainer, build_context, streams_of_run
from hinterland.types import Dataset, HinterlandError, Plan

log = logging.getLogger(__name__)


def train(
    dataset: Dataset,
    plan: Plan,
    method: Method,
    *,
    out: Path | str,
    fold: int | Literal["fixed", "all"] = 0,
    config: TrainConfig | None = None,
    labelled: str | None = None,
    fine: str | None = None,
    naive: bool = False,
    noise: float | None = None,
    init_from: Path | str | None = None,
    labels: str = "",
    overwrite: bool = False,
    report: Report | None = None,
    stage: Callable[[str], None] | None = None,
    finish: bool = True,
) -> Run:
    """Train a method on a data set, then predict and evaluate the cases it has not seen.

    out: the run directory; refused if it exists, unless `overwrite`.
    fold: see `data.splits.fold`. With "fixed" the best checkpoint on the validation cases (of the
    last phase, where a method has several) is reported on the test cases; with a fold number the
    last checkpoint is reported on the held-out fold, so that nothing is selected on the cases that
    are reported: methods of two phases then begin the second with the last weights of the first,
    else with its best.
    labelled, fine, naive: see `split_cases`.
    noise: Dice of noisy support labels in the training cases; see `data.label_noise`.
    init_from: a run whose trained network this one begins with, grown to more classes if need be;
        network, plan and a tenth of the learning rate follow from it (`training.initial`).
    labels: the labels.yaml that the data set was read with, for the record.
    report: called with (steps done, steps, message); stage: with what begins.
    """
    config = config or TrainConfig()
    path = Path(out)
    source = None if init_from is None else Run(Path(init_from))
    if source:
        config, plan = inherit_settings(source, config, plan)
    if process_rank() == 0:
        _check_room(path, overwrite)
        dataset, splits = split_cases(dataset, fold, config.seed, labelled, fine, naive)
        record = record_of(dataset, plan, method, config, splits, str(fold), labels)
        record = replace(record, noise=noise)
        if noise is not None:
            dataset = record.present(dataset)
            record = replace(record, plan=_stamped(record.plan, dataset))
        initial = _built(record)
        (stage or log.info)("preprocessing")
        record_cases = {c.name for part in splits.values() for c in part}
        cases = [c for c in dataset.cases if c.name in record_cases]
        prepared = prepare(dataset, record.plan, cases=cases)
        streams_of_run(record, dataset, prepared)
        if source:
            counts = cell_counts(
                record.cases(dataset, "train"), prepared, record.spec, record.make_method().cells
            )
            fresh = record.train.init_head == "fresh"
            start_from(source, initial, record.make_method(), counts, fresh=fresh)
        _make_room(path)
        if source:
            save_checkpoint(path / INITIAL, {"networks": initial.state_dict()})
        record = replace(
            record,
            labelled=labelled or "",
            fine=fine or "",
            naive=naive,
            init_from=str(source.path.resolve()) if source else "",
            command=" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            versions=versions(),
            hardware=hardware(),
            git=_git_state(),
        )
        record.write(path)
    else:
        _wait_for(path / "config.yaml")
        dataset = Run(path).record.present(dataset)
    return _go(Run(path), dataset, report, stage, finish)


def resume(
    out: Path | str,
    *,
    report: Report | None = None,
    stage: Callable[[str], None] | None = None,
    finish: bool = True,
) -> Run:
    """Go on from the last checkpoint; ends equal to the run that was never stopped.

    Raises HinterlandError if there is no such run or its data set has changed.
    """
    run = Run(Path(out))
    dataset = run.dataset
    now = _stamped(run.record.plan, dataset).fingerprint
    if run.record.plan.fingerprint != now:
        raise HinterlandError(
            f"the data set {dataset.root} is not the one that {out} was trained on (fingerprint "
            f"{now}, expected {run.record.plan.fingerprint}). Restore it, or train a new run."
        )
    return _go(run, dataset, report, stage, finish)


def _go(
    run: Run,
    dataset: Dataset,
    report: Report | None,
    stage: Callable[[str], None] | None,
    finish: bool,
) -> Run:
    from hinterland.training.outcome import finish_run

    record = run.record
    names = [n for part in record.split.values() for n in part]
    prepared = prepare(dataset, record.plan, cases=[dataset[n] for n in names])
    (stage or log.info)("training")
    started = time.monotonic()
    with _global_settings():
        Trainer(run.path, record, dataset, prepared, report or (lambda *_: None)).fit()
    if process_rank() == 0 and finish:
        (stage or log.info)("predicting and evaluating")
        finish_run(run, dataset, seconds=time.monotonic() - started, report=report)
    return run


def _check_room(path: Path, overwrite: bool) -> None:
    if path.exists() and any(path.iterdir() if path.is_dir() else [path]):
        if not overwrite:
            raise HinterlandError(
                f"{path} exists already. Give --overwrite to replace it, another --out, or go on "
                f"with it: hinterland resume {path}"
            )
        if not (path / "config.yaml").is_file() and not (path / "checkpoints").is_dir():
            raise HinterlandError(
                f"{path} is not a run directory; it is not replaced. Choose another --out."
            )


def _make_room(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True, exist_ok=True)


def _stamped(plan: Plan, dataset: Dataset) -> Plan:
    """The plan with the fingerprint of the data set as it is now."""
    now = dataset_hash(dataset, tuple(c for c in dataset.cases if c.split != "test"))
    return replace(plan, fingerprint=now)


def _built(record: RunRecord) -> torch.nn.Module:
    """Build everything once, before anything is deleted or written: a wrong name costs nothing.

    The networks as their seed makes them.
    """
    context, method = build_context(record), record.make_method()
    if record.split["val"]:
        record.spec.target.over(method.cells)  # what validation will ask
    build_regularisers(record.train.regularisers, context, method)
    refuse_unknown_optimisers(record.train, method.phases())
    try:
        networks = method.build(context)
    except (TypeError, ValueError) as error:
        raise HinterlandError(
            f"network_options {dict(context.network_options)}: {error}. Expected options of "
            f"{context.network}, such as features and norm."
        ) from None
    return networks


def _wait_for(file: Path, seconds: float = 3600) -> None:
    """Other processes of a run wait until the first has prepared it.

    A process that Lightning launched starts after that; under torchrun or SLURM all start at
    once, and a file from before this process belongs to an earlier run.
    """
    started = time.time() if {"TORCHELASTIC_RUN_ID", "SLURM_PROCID"} & os.environ.keys() else 0.0
    end = time.monotonic() + seconds
    while not (file.is_file() and file.stat().st_mtime >= started - 60):
        if time.monotonic() > end:
            raise HinterlandError(f"waited {seconds:.0f} s for {file}; did the first process fail?")
        time.sleep(0.5)


@contextmanager
def _global_settings() -> Iterator[None]:
    """Leave torch's global switches as they were."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    state = torch.get_rng_state()
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic)
        torch.set_rng_state(state)


def _git_state() -> str:
    """Commit of the code that runs, with `-dirty` where it was changed; "" outside a checkout."""
    import subprocess

    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(
            command,
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
