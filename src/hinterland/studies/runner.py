"""Many runs that differ in a few settings: train what is missing, go on with what was stopped."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd

from hinterland.data.io.csv_text import csv_text, with_original_text
from hinterland.data.io.files import atomic_path, write_text
from hinterland.evaluation.statistics.difference import paired_difference
from hinterland.evaluation.statistics.over_runs import t_test
from hinterland.methods.regularisers.discrepancy import PAPER_WARM_START
from hinterland.studies.queued import train_elsewhere
from hinterland.training.runs.request import RunRequest
from hinterland.training.runs.run import Run
from hinterland.training.runs.run_training import run_or_resume
from hinterland.types import Dataset, HinterlandError

log = logging.getLogger(__name__)
Report = Callable[[int, int, str], None]
Stage = Callable[[str], None]
LOSSES: dict[str, dict[str, Any]] = {
    "none": {},
    "fd": {"discrepancy": {}},
    "fd+exch": {"discrepancy": {"exchange": "batch"}},
    "con": {"contrastive": {}},
    "deeps": {"deep-supervision": {}},
}
"""Name -> regularisers: L_fd, L_fd + L_exch, L_con, L_deeps."""
WARM_START = PAPER_WARM_START
"""Share of the steps that is a phase of its own, in every arm: paper 2's two phases."""


def two_phases(warm_start: float) -> dict[str, Any]:
    """Return the options of a method whose second phase has a rate and a selection of its own.

    A loss that acts at the end of one schedule acts when the rate is gone, and the best checkpoint
    may be one from before it acts. Every arm of a study has the same phases, with the loss or not.

    Args:
        warm_start: share of the steps in the first phase; 0 is one phase, in which L_fd ramps.
    """
    return {"warm_start": warm_start}


def steps_of(steps: int, base: int, added: int, fixed: bool) -> int:
    """Return the steps of a run on more cases: as many epochs, so that none is seen less often.

    Args:
        steps: of a run on the base cases alone.
        base: how many base cases there are.
        added: how many cases are added.
        fixed: whether all runs have the same steps.

    Returns:
        steps, or steps (base + added) / base.
    """
    return steps if fixed else round(steps * (base + added) / base)


def regularisers(losses: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the settings of losses by name.

    Raises:
        HinterlandError: a loss is unknown or named twice, or there is none.
    """
    unknown = [name for name in losses if name not in LOSSES]
    if unknown or not losses or len(set(losses)) < len(losses):
        raise HinterlandError(
            f"losses {', '.join(losses) or 'none given'}: expected some of {', '.join(LOSSES)}, "
            "each once."
        )
    return {name: LOSSES[name] for name in losses}


def with_loss(settings: Mapping[str, Any], loss: str) -> dict[str, Any]:
    """Return the settings with the regularisers of one loss.

    Options that the settings give for those regularisers are kept.
    """
    given = settings.get("regularisers", {})
    chosen = regularisers([loss])[loss]
    return {
        **settings,
        "regularisers": {name: {**own, **given.get(name, {})} for name, own in chosen.items()},
    }


def against(plain: pd.Series, runs: pd.Series) -> dict[str, float | None]:
    """Test runs with a loss against those without, paired by what indexes both.

    Args:
        plain: Dice of the runs without a loss.
        runs: Dice of the runs with it.

    Returns:
        `difference`, the mean, and `p` of a one-sample t-test over runs; None where unknown.
    """
    differences = (runs - plain.reindex(runs.index)).dropna()
    p = t_test(differences.to_numpy())
    mean = float(differences.mean()) if len(differences) else None
    return {"difference": mean, "p": None if isnan(p) else p}


def difference_over(change: pd.Series, patients: Sequence[str]) -> dict[str, float | None]:
    """Return the mean change with its interval and p over patients; None where not known.

    Args:
        change: one number a case, seeds averaged.
        patients: of the cases.

    Returns:
        `difference`, `low`, `high` (95 %) and `p`.
    """
    found = paired_difference(change.to_numpy(), patients)
    values = {"difference": found.mean, "low": found.low, "high": found.high, "p": found.p}
    return {name: None if isnan(value) else value for name, value in values.items()}


def patients_or_cases(change: pd.Series) -> list[str]:
    """Return the patient of each row by its index (group, case); the case where all are of one."""
    patients: list[str] = change.index.get_level_values("group").astype(str).tolist()
    if len(set(patients)) > 1:
        return patients
    return list(change.index.get_level_values("case").astype(str))


def record_of_study(asked: Any, dataset: Dataset) -> dict[str, Any]:
    """Return what tells a study from others, for `claim` and its summary.

    Args:
        asked: its settings, a dataclass.
        dataset: the cases.

    Returns:
        The settings, and where the cases are.
    """
    return {**asdict(asked), "dataset": str(dataset.root.resolve())}


def write_summary(content: Mapping[str, Any], out: Path) -> None:
    """Write summary.json into a study's folder."""
    write_text(out / "summary.json", json.dumps(content, indent=2) + "\n")


def train_all(
    out: Path,
    requests: Mapping[str, RunRequest],
    report: Report | None = None,
    stage: Stage | None = None,
    queue: Path | None = None,
) -> Iterator[Run]:
    """Carry out requests in order, each as its run is asked for; NAME's run is out/NAME.

    Args:
        out: the folder of the runs.
        requests: name -> the run asked for.
        report: called with (done, of how many, message), steps of all runs together.
        stage: called with what begins.
        queue: the folder of a queue whose workers train; None trains here.

    Yields:
        The finished runs.
    """
    if queue is not None:
        train_elsewhere(out, requests, queue, report, stage)
    total = sum(request.config.steps for request in requests.values())
    done = 0
    for name, request in requests.items():

        def count(now: int, _: int, message: str, before: int = done, name: str = name) -> None:
            if report:
                report(before + now, total, f"{name}: {message}" if message else name)

        (stage or log.info)(name)
        yield run_or_resume(request, out / name, report=count, stage=log.info)
        done += request.config.steps


def target_scores(file: Path, question: str = "target") -> pd.DataFrame:
    """Tabulate Dice and Jaccard of each case at a question, the mean over its classes.

    The index is (group, case).
    """
    table = pd.read_csv(file, dtype={"case": str, "group": str}).fillna({"group": ""})
    table = with_original_text(table)
    table = table[table["coarsening"] == question]
    return table.groupby(["group", "case"])[["dice", "jaccard"]].mean()


def write_table(table: pd.DataFrame, file: Path) -> None:
    """Write a CSV table, whole or not at all."""
    write_text(file, csv_text(table, "%.6g"))


def save_figure(figure: Any, file: Path) -> None:
    """Save a PNG figure, whole or not at all."""
    with atomic_path(file) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
