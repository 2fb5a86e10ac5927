"""Studies of support structures: train the arms, compare each with the binary one, draw, sum up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from hinterland.data.io.csv_text import csv_text, with_original_text
from hinterland.data.io.files import write_text
from hinterland.data.planning.plan_dataset import PlanOptions, plan_dataset
from hinterland.evaluation.metrics.metric import Shown
from hinterland.evaluation.metrics.registry import metric_columns
from hinterland.networks import create, patch_multiple
from hinterland.studies.claim import claim
from hinterland.studies.runner import difference_over, patients_or_cases, train_all, write_summary
from hinterland.studies.supports.arms import (
    BINARY,
    NAMES,
    STUDIES,
    Arm,
    checked,
    standard_axes,
    variations,
)
from hinterland.studies.supports.figure import draw
from hinterland.training.config import make_config
from hinterland.training.runs.fine_tuning import tuned_settings
from hinterland.training.runs.request import RunRequest
from hinterland.training.runs.run import Run
from hinterland.types import Dataset, HinterlandError, Plan

log = logging.getLogger(__name__)
Report = Callable[[int, int, str], None]
Fold = int | Literal["fixed"]
NETWORKS = ("resenc-m", "segresnet", "swinunetr")
"""Beside the U-Net, those of paper 1's tables."""
Planner = Callable[[Literal[2, 3] | None], Plan]


@dataclass(frozen=True)
class Study:
    """Settings of a study of support structures: which study, which supports, which runs.

    Attributes:
        settings: of `TrainConfig`, nested.
        labels: the labels.yaml the data set was read with.
        networks: those that `variations` tries beside the study's own.
    """

    name: str
    supports: tuple[str, ...] = ()
    fold: Fold = 0
    seeds: int = 1
    steps: int = 25_000
    settings: Mapping[str, Any] | None = None
    dims: Literal[2, 3] | None = None
    memory: float = 8.0
    labels: str = ""
    networks: tuple[str, ...] = NETWORKS


def run_supports_study(
    dataset: Dataset,
    study: Study,
    out: Path | str,
    *,
    report: Report | None = None,
    stage: Callable[[str], None] | None = None,
    overwrite: bool = False,
    queue: Path | None = None,
) -> dict[str, Any]:
    """Train every arm with every seed, and write table.csv, figure.png and summary.json into `out`.

    Called again after an interruption it goes on where it was; finished runs (out/runs/) are not
    trained again.

    Args:
        dataset: the cases.
        study: which study, and its settings.
        out: the folder to write into.
        report: called with (done, of how many, message) within a stage.
        stage: called with what begins.
        overwrite: replace another study that is there.
        queue: the folder of a queue whose workers train the runs; None trains here.

    Returns:
        What summary.json holds.

    Raises:
        HinterlandError: an unknown study or support, or `out` holds another study.
    """
    out = Path(out)
    supports = checked(dataset.labels, study.supports)
    plan_of = _planner(dataset, study)
    arms = _arms(study, supports, plan_of)
    asked = {**asdict(study), "supports": supports, "dataset": str(dataset.root.resolve())}
    if study.name != "variations":
        del asked["networks"]
    claim(out, "supports", asked, overwrite)
    order = [(arm, seed) for seed in range(study.seeds) for arm in arms]
    requests = {
        folder_of(arm, seed): _request(dataset, study, arm, seed, out, plan_of)
        for arm, seed in order
    }
    made = train_all(out / "runs", requests, report, stage, queue)
    runs = {(arm.name, seed): run for (arm, seed), run in zip(order, made, strict=True)}
    table = results(arms, runs, study.seeds)
    return _conclude(out, asked, arms, table)


def _arms(study: Study, supports: Sequence[str], plan_of: Planner) -> list[Arm]:
    if study.name not in NAMES:
        raise HinterlandError(f"study {study.name!r}: expected one of {', '.join(NAMES)}.")
    if study.name != "variations":
        return STUDIES[study.name](supports)
    plan, settings = plan_of(None), dict(study.settings or {})
    batch = int(settings.get("batch_size") or plan.batch_size)
    patch = list(settings.get("patch_size") or plan.patch_size)
    own = make_config(settings).network
    fitting = {n: _fitting_patch(n, plan, patch) for n in dict.fromkeys(study.networks) if n != own}
    return variations(supports, standard_axes(batch, patch, plan.dims, fitting))


def _fitting_patch(name: str, plan: Plan, patch: Sequence[int]) -> list[int]:
    """Return the patch nearest to the study's that a network takes.

    Raises:
        HinterlandError: there is no such network, or something that it needs is missing.
    """
    multiple = patch_multiple(name, plan)
    edges = [m * max(1, round(n / m)) for n, m in zip(patch, multiple, strict=True)]
    if edges == list(multiple):
        edges[-1] *= 2  # the lowest level must have more than one voxel
    # built narrow and for nothing: what cannot be had is said before anything is trained
    create(name, replace(plan, patch_size=tuple(edges)), 2, features=(8, 8))
    return edges


def _planner(dataset: Dataset, study: Study) -> Planner:
    """Make what gives the plan of the data set in 2D, 3D or (None) as the study says."""

    @cache
    def plan_of(dims: Literal[2, 3] | None) -> Plan:
        return plan_dataset(dataset, PlanOptions(dims or study.dims, study.memory))

    return plan_of


def _steps(study: Study, arm: Arm) -> int:
    return max(1, round(study.steps * arm.steps))


def folder_of(arm: Arm, seed: int) -> str:
    """Name a run's folder."""
    text = "".join(c if c.isalnum() else "-" for c in arm.name).strip("-")
    return f"{text}-seed{seed}"


def _request(
    dataset: Dataset, study: Study, arm: Arm, seed: int, out: Path, plan_of: Planner
) -> RunRequest:
    """Return what an arm asks of its run."""
    settings = {**(study.settings or {}), **arm.settings}
    if arm.dims and "patch_size" in settings:
        settings["patch_size"] = list(settings["patch_size"])[-arm.dims :]
    source = out / "runs" / folder_of(Arm(arm.init_from), seed) if arm.init_from else None
    if source:
        settings = tuned_settings(settings)
    return RunRequest(
        dataset,
        on=arm.on,
        labels=study.labels,
        fold=study.fold,
        init_from=source,
        plan=plan_of(arm.dims),
        config=make_config({**settings, "steps": _steps(study, arm), "seed": seed}),
        **arm.changes,
    )


def target_scores(run: Run) -> pd.DataFrame:
    """Tabulate the metrics of each case at the target question, the mean over its classes.

    The index is (group, case).
    """
    table = pd.read_csv(run.path / "metrics.csv", dtype={"case": str, "group": str})
    table = with_original_text(table)
    first = next(iter(run.record.spec.questions))
    table = table[table["coarsening"] == first].fillna({"group": ""})
    columns = metric_columns(table, Shown.HEADLINE)
    return table.groupby(["group", "case"])[columns].mean()


def results(arms: Sequence[Arm], runs: Mapping[tuple[str, int], Run], seeds: int) -> pd.DataFrame:
    """Tabulate one row an arm: means over cases and seeds, and the Dice difference to its baseline.

    The baseline is the first arm; of a variation ("batch 4: all supports") the binary arm of the
    same variation. Differences are paired by case (cases averaged over seeds), intervals resample
    patients (95 %), p is Wilcoxon's.

    Args:
        arms: the baseline first.
        runs: (arm, seed) -> finished run.
        seeds: how many.

    Returns:
        The table.
    """
    scores = {arm.name: [target_scores(runs[arm.name, s]) for s in range(seeds)] for arm in arms}
    rows = []
    for arm in arms:
        own = pd.concat(scores[arm.name], keys=range(seeds), names=["seed"])
        means = own.groupby("seed").mean()
        row: dict[str, Any] = {"arm": arm.name, "curve": arm.curve, "x": arm.x}
        row |= {m: float(means[m].mean()) for m in means.columns}
        row["dice_sd_of_seeds"] = float(means["dice"].std(ddof=1)) if seeds > 1 else None
        prefix = arm.name.split(": ")[0] + ": " if ": " in arm.name else ""
        baseline = prefix + BINARY if prefix + BINARY in scores else arms[0].name
        if arm.name != baseline:
            row |= {"baseline": baseline, **_difference(scores[baseline], scores[arm.name])}
        rows.append(row)
    return pd.DataFrame(rows)


def _difference(one: Sequence[pd.DataFrame], two: Sequence[pd.DataFrame]) -> dict[str, Any]:

    per_seed = [b["dice"] - a["dice"] for a, b in zip(one, two, strict=True)]
    means = pd.concat(per_seed).dropna().groupby(["group", "case"]).mean()
    if means.empty:
        return {"difference": None, "low": None, "high": None, "p": None}
    return difference_over(means, patients_or_cases(means))


def _conclude(
    out: Path, asked: dict[str, Any], arms: Sequence[Arm], table: pd.DataFrame
) -> dict[str, Any]:

    write_text(out / "table.csv", csv_text(table, "%.5f"))
    draw(table, f"{asked['name']}: {Path(asked['dataset']).name}", out / "figure.png")
    clean = table.astype(object).where(table.notna(), None)
    summary = {
        **asked, "arms": {a.name: asdict(a) for a in arms}, "results": clean.to_dict("records"),
        "table": str(out / "table.csv"), "figure": str(out / "figure.png"),
    }  # fmt: skip
    write_summary(summary, out)
    return summary
