"""Where L_fd should act, and from when on: paper 2's ablations, each arm beside one without it.

Layers: all of them, or some alone. Start: the share of the steps before the loss acts, which is a
phase of its own in both arms, so that rate and selection are the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from hinterland.data.planning.plan_dataset import PlanOptions, plan_dataset
from hinterland.methods.regularisers.registry import build_regularisers
from hinterland.studies.claim import claim
from hinterland.studies.runner import (
    WARM_START,
    Report,
    against,
    difference_over,
    patients_or_cases,
    record_of_study,
    save_figure,
    target_scores,
    train_all,
    two_phases,
    with_loss,
    write_summary,
    write_table,
)
from hinterland.training.config import make_config
from hinterland.training.runs.context import build_context
from hinterland.training.runs.new_run import record_of
from hinterland.training.runs.request import RunRequest
from hinterland.training.runs.run import Run
from hinterland.types import Dataset, HinterlandError, Plan

log = logging.getLogger(__name__)
LAYERS = ("all", "encoder", "decoder", "bottleneck")
STARTS = (0.0, 0.3, WARM_START)
NONE = ""
"""The layers of an arm without the loss."""


@dataclass(frozen=True)
class Ablation:
    """Settings of a study of L_fd's layers and of its start.

    Attributes:
        layers: each "all", a part of the network or a layer's name; the loss starts at `start`.
        starts: shares of the steps; the loss acts in all layers (the first of `layers`).
        start: where the layers are compared.
        fold: "fixed", or the number of a fold.
        settings: of `TrainConfig`, nested.
    """

    layers: tuple[str, ...] = LAYERS
    starts: tuple[float, ...] = STARTS
    start: float = WARM_START
    seeds: int = 3
    steps: int = 10_000
    fold: int | Literal["fixed"] = "fixed"
    settings: Mapping[str, Any] = field(default_factory=dict)
    dims: Literal[2, 3] | None = None
    memory: float = 8.0
    labels: str = ""

    @property
    def arms(self) -> list[tuple[str, float]]:
        """(layers, start) of each arm; `NONE` are the arms without the loss, one a start."""
        starts = dict.fromkeys((self.start, *self.starts))
        found = [(NONE, start) for start in starts]
        found += [(layers, self.start) for layers in self.layers]
        return list(dict.fromkeys([*found, *((self.layers[0], start) for start in self.starts)]))


def run_ablation(
    dataset: Dataset,
    asked: Ablation,
    out: Path | str,
    *,
    report: Report | None = None,
    stage: Callable[[str], None] | None = None,
    overwrite: bool = False,
    queue: Path | None = None,
) -> dict[str, Any]:
    """Train every arm with every seed, and hold each beside the arm without the loss.

    Writes table.csv (one row a run), figure.png and summary.json into `out`. Called again after an
    interruption it goes on where it was.

    Args:
        dataset: the cases.
        asked: layers, starts and seeds.
        out: the folder to write into.
        report: called with (done, of how many, message) within a stage.
        stage: called with what begins.
        overwrite: replace another study that is there.
        queue: the folder of a queue whose workers train the runs; None trains here.

    Returns:
        What summary.json holds.

    Raises:
        HinterlandError: a layer that the network has not, a start outside [0, 1), or `out` holds
            another study.
    """
    out = Path(out)
    if not asked.layers or any(not 0 <= s < 1 for s in (asked.start, *asked.starts)):
        raise HinterlandError(
            f"layers {', '.join(asked.layers) or 'none'}, starts {asked.starts}: expected at least "
            "one layer, and shares of the steps from 0 to below 1."
        )
    plan = plan_dataset(dataset, PlanOptions(asked.dims, asked.memory))
    requests = {
        (layers, start, seed): _request(dataset, asked, plan, layers, start, seed)
        for seed in range(asked.seeds)
        for layers, start in asked.arms
    }
    for layers, start in asked.arms:
        _check_layers(requests[layers, start, 0], plan)
    record = record_of_study(asked, dataset)
    claim(out, "discrepancy", record, overwrite)
    named = {_folder(*key): request for key, request in requests.items()}
    runs = dict(zip(requests, train_all(out / "runs", named, report, stage, queue), strict=True))
    question = next(iter(dataset.labels.questions))
    table, scores = _tables(runs, question)
    write_table(table, out / "table.csv")
    results = differences(scores, asked)
    draw(results, asked, dataset.root.name, out / "figure.png")
    summary = {
        **record, "results": results,
        "table": str(out / "table.csv"), "figure": str(out / "figure.png"),
    }  # fmt: skip
    write_summary(summary, out)
    return summary


def _request(
    dataset: Dataset, asked: Ablation, plan: Plan, layers: str, start: float, seed: int
) -> RunRequest:
    settings = with_loss(
        {**asked.settings, "steps": asked.steps, "seed": seed}, "fd" if layers else "none"
    )
    if layers:
        # a run of one phase has no other start than the loss's own
        own = {"layers": layers, **({} if start else {"warm_start": 0.0})}
        given = settings["regularisers"]["discrepancy"]
        settings["regularisers"] = {"discrepancy": {**given, **own}}
    return RunRequest(
        dataset, options=two_phases(start), labels=asked.labels, fold=asked.fold, plan=plan,
        config=make_config(settings),
    )  # fmt: skip


def _check_layers(request: RunRequest, plan: Plan) -> None:
    """Build the regularisers of a run for nothing: what is wrong with them is said at once."""
    config = request.make_config()
    nobody: dict[str, list[Any]] = {"train": [], "val": [], "test": []}
    record = record_of(request, request.dataset, plan, config, nobody)
    build_regularisers(config.regularisers, build_context(record), record.make_method())


def _folder(layers: str, start: float, seed: int) -> str:
    return f"{layers.replace('.', '') or 'none'}-{start:.3g}-seed{seed}"


def _tables(
    runs: Mapping[tuple[str, float, int], Run], question: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tabulate one row a run, and one row a run and case, with the Dice."""
    rows, parts = [], []
    for (layers, start, seed), run in runs.items():
        key: dict[str, Any] = {"layers": layers or "none", "start": start, "seed": seed}
        scores = target_scores(run.path / "metrics.csv", question)
        rows.append({**key, "dice": scores["dice"].mean(), "iou": scores["jaccard"].mean(),
                     "cases": len(scores)})  # fmt: skip
        parts.append(scores.reset_index().assign(**key))
    return pd.DataFrame(rows), pd.concat(parts, ignore_index=True)


def differences(scores: pd.DataFrame, asked: Ablation) -> list[dict[str, Any]]:
    """Hold every arm with the loss beside the one without it that has the same start.

    Args:
        scores: one row a run and case: layers ("none" without the loss), start, seed, group, case,
            dice.
        asked: the arms.

    Returns:
        One row an arm: layers, start, dice, seeds, sd (over seeds), and, but for arms without the
        loss, difference, low, high and p over patients (cases averaged over seeds), and p_runs of a
        one-sample t-test over seeds; None where it cannot be known.
    """
    rows: list[dict[str, Any]] = []
    keys = ["seed", "group", "case"]
    for layers, start in asked.arms:
        own = _arm(scores, layers, start).set_index(keys)["dice"]
        plain = _arm(scores, NONE, start).set_index(keys)["dice"]
        runs = own.groupby("seed").mean()
        row = {
            "layers": layers or "none", "start": start, "dice": float(runs.mean()),
            "seeds": len(runs), "sd": float(runs.std(ddof=1)) if len(runs) > 1 else None,
        }  # fmt: skip
        if layers:
            cases = (own - plain).groupby(["group", "case"]).mean()
            over_runs = against(plain.groupby("seed").mean(), runs)
            row |= difference_over(cases, patients_or_cases(cases)) | {"p_runs": over_runs["p"]}
        rows.append(row)
    return rows


def _arm(scores: pd.DataFrame, layers: str, start: float) -> pd.DataFrame:
    return scores[(scores["layers"] == (layers or "none")) & (scores["start"] == start)]


def draw(results: Sequence[Mapping[str, Any]], asked: Ablation, title: str, file: Path) -> None:
    """Draw the differences by layers with their intervals, and Dice against the start.

    Args:
        results: rows of `differences`.
        asked: the arms.
        title: of the figure.
        file: the picture to write.
    """
    from matplotlib.figure import Figure

    by_arm = {(row["layers"], row["start"]): row for row in results}
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, layers in enumerate(asked.layers):
        row = by_arm[layers, asked.start]
        if row["difference"] is not None:
            left.plot(row["difference"], place, "o", color="C1")
        if row["low"] is not None:
            left.plot([row["low"], row["high"]], [place, place], color="C1")
    left.axvline(0, color="0.5", lw=0.8)
    left.set_yticks(range(len(asked.layers)), asked.layers)
    left.invert_yaxis()
    left.set_xlabel("Dice with L_fd minus without (95 %)")
    left.set_title(f"layers, from {asked.start:.3g} of the steps on", fontsize=9)
    lines = (("none", "without", "0.6"), (asked.layers[0], f"L_fd, {asked.layers[0]}", "C1"))
    starts = sorted(set(asked.starts))
    for layers, label, colour in lines if starts else ():
        rows = [by_arm[layers, start] for start in starts]
        right.errorbar(starts, [r["dice"] for r in rows], yerr=[r["sd"] or 0 for r in rows],
                       marker="o", capsize=3, color=colour, label=label)  # fmt: skip
        right.legend(frameon=False, fontsize=8)
    right.set_xlabel("start, share of the steps")
    right.set_ylabel("Dice (s.d. over seeds)")
    right.set_title("start", fontsize=9)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=9)
    save_figure(figure, file)
