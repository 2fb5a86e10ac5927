"""The data addition dilemma: what happens on the base data set as novel data is added.

Paper 2, figure 3, tables 2 and 3: train on base and a growing part of novel, always test on base.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from hinterland.data.dataset.splits import fixed
from hinterland.data.derived.dataset import Member, pool, write_derived
from hinterland.data.io.files import write_text
from hinterland.data.planning.plan_dataset import PlanOptions, plan_dataset
from hinterland.studies.addition.figure import draw
from hinterland.studies.addition.grey_levels import divergences, grey_levels
from hinterland.studies.claim import claim
from hinterland.studies.runner import (
    WARM_START,
    Report,
    against,
    regularisers,
    steps_of,
    target_scores,
    train_all,
    two_phases,
    with_loss,
    write_summary,
    write_table,
)
from hinterland.training.config import make_config
from hinterland.training.runs.request import RunRequest
from hinterland.types import Dataset, HinterlandError

log = logging.getLogger(__name__)
BASE, NOVEL = "base", "novel"


@dataclass(frozen=True)
class Addition:
    """Settings of a data addition study.

    Attributes:
        added: how many novel training cases, in rising order.
        steps: of a run on base alone; with novel cases in proportion to all cases, so that base's
            are seen as often.
        size: (rows, columns) to resize pictures to.
        mixed: draw half of each batch from either data set, however many cases they have.
        settings: of `TrainConfig`, nested.
        order: the seed by which novel cases are put in order, and by which validation cases are
            drawn from base's training cases where base has none.
        fixed_steps: give all runs the same steps; base's cases are then seen less often the more
            are added.
        warm_start: share of the steps that is a phase of its own, in every arm; see `two_phases`.
    """

    added: tuple[int, ...]
    losses: tuple[str, ...] = ("none", "fd", "fd+exch", "con", "deeps")
    seeds: int = 3
    steps: int = 10_000
    size: tuple[int, int] | None = None
    mixed: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    dims: Literal[2, 3] | None = None
    memory: float = 8.0
    order: int = 0
    fixed_steps: bool = False
    warm_start: float = WARM_START


@dataclass(frozen=True)
class Pooled:
    """The pooled data set, and its training cases by name; novel ones in the order of addition."""

    dataset: Dataset
    base: tuple[str, ...]
    novel: tuple[str, ...]


def amounts(texts: Sequence[str], available: int) -> tuple[int, ...]:
    """Parse numbers of novel cases: "15" is a number, "1/4" and "all" are shares of all.

    Raises:
        HinterlandError: text that is neither, or more cases than there are.
    """
    found = set()
    for text in texts:
        try:
            value = Fraction(1) if text == "all" else Fraction(text)
        except (ValueError, ZeroDivisionError):
            value = Fraction(-1)
        count = value * available if "/" in text or text == "all" else value
        if count < 0 or count > available or ("/" not in text and count.denominator != 1):
            raise HinterlandError(
                f"{text!r} novel cases: expected a number from 0 to {available} (that many "
                "labelled training cases there are), a share such as 1/4, or all."
            )
        found.add(round(count))
    return tuple(sorted(found))


def addable(novel: Dataset) -> int:
    """Count the novel cases that may be added: its labelled training cases."""
    return sum(c.labelled for c in novel.train)


def make_pool(
    base: Dataset,
    novel: Dataset,
    folder: Path,
    *,
    size: tuple[int, int] | None = None,
    order: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Pooled:
    """Write base's train, val and test, and novel's training cases, as one data set in `folder`.

    Args:
        base: the data set that counts.
        novel: the one that is added.
        folder: for the pooled data set.
        size: (rows, columns) to resize pictures to.
        order: seed of the order in which novel cases are added.
        progress: called with (done, of how many).

    Returns:
        The data set, and both domains' training cases in that order.

    Raises:
        HinterlandError: base has no labelled test cases, or the data sets do not fit together.
    """
    split = fixed(base, order)
    parts = {c.name: part for part in ("train", "val", "test") for c in getattr(split, part)}
    members, spec = pool(base, novel, (BASE, NOVEL))
    chosen: list[Member] = []
    for member in members:
        if member.domain == BASE:
            part = parts.get(member.case.name, "")
        else:
            part = "train" if member.case.split == "train" else ""
        if part:
            chosen.append(Member(member.case, member.name, part, member.domain, member.scheme))
    if not any(m.split == "test" for m in chosen):
        raise HinterlandError(f"{base.root} has no labelled test cases; list some in splits.json.")
    dataset = write_derived(folder, chosen, spec, base.channels, size=size, progress=progress)
    training = {d: [m.name for m in chosen if m.split == "train" and m.domain == d]
                for d in (BASE, NOVEL)}  # fmt: skip
    shuffled = np.random.default_rng(order).permutation(len(training[NOVEL]))
    return Pooled(dataset, tuple(training[BASE]), tuple(training[NOVEL][int(i)] for i in shuffled))


def run_data_addition(
    base: Dataset,
    novel: Dataset,
    asked: Addition,
    out: Path | str,
    *,
    report: Report | None = None,
    stage: Callable[[str], None] | None = None,
    overwrite: bool = False,
    queue: Path | None = None,
) -> dict[str, Any]:
    """Train every loss with every amount of novel data and every seed; test on base.

    Writes table.csv (one row a run, with the divergences of its step), figure.png and summary.json
    into `out`; runs go to out/runs, the pooled data set to out/data. Called again after an
    interruption it goes on where it was.

    Args:
        base: the data set that counts.
        novel: the one that is added.
        asked: losses, amounts and seeds.
        out: the folder to write into.
        report: called with (done, of how many, message) within a stage.
        stage: called with what begins.
        overwrite: replace another study that is there.
        queue: the folder of a queue whose workers train the runs; None trains here.

    Returns:
        What summary.json holds.

    Raises:
        HinterlandError: an unknown loss, or amounts that novel does not have.
    """
    out, say = Path(out), stage or log.info
    regularisers(asked.losses)
    if max(asked.added, default=-1) > addable(novel) or list(asked.added) != sorted(asked.added):
        raise HinterlandError(
            f"{asked.added} novel cases: expected rising numbers up to {addable(novel)}."
        )
    where = {BASE: str(base.root.resolve()), NOVEL: str(novel.root.resolve())}
    claim(out, "data-addition", {**asdict(asked), **where}, overwrite)
    say("pooling the data sets")
    pooled = make_pool(
        base, novel, out / "data", size=asked.size, order=asked.order,
        progress=(lambda n, of: report(n, of, "")) if report else None,
    )  # fmt: skip
    say("measuring grey levels")
    distances = step_divergences(pooled, asked.added)
    requests = addition_requests(pooled, asked, out)
    named = {run_name(*parts): request for parts, request in requests.items()}
    rows = []
    for (loss, added, seed), run in zip(
        requests, train_all(out / "runs", named, report, stage, queue), strict=True
    ):
        scores = target_scores(run.path / "metrics.csv", _question(pooled.dataset))
        means = scores.mean()
        row = {"loss": loss, "added": added, "seed": seed, "steps": run.record.train.steps}
        row["dice"] = means["dice"]
        rows.append({**row, "iou": means["jaccard"], "cases": len(scores), **distances[added]})
    table = _table(rows)
    write_table(table, out / "table.csv")
    draw(table, f"{base.name} + {novel.name}, tested on {base.name}", out / "figure.png")
    summary = {
        **asdict(asked), **where, "base_cases": len(pooled.base), "curves": curves(table),
        "table": str(out / "table.csv"), "figure": str(out / "figure.png"),
    }  # fmt: skip
    write_summary(summary, out)
    return summary


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:

    return pd.DataFrame(rows)


def _question(dataset: Dataset) -> str:
    return next(iter(dataset.labels.questions))


def addition_requests(
    pooled: Pooled, asked: Addition, out: Path
) -> dict[tuple[str, int, int], RunRequest]:
    """List the runs of a study, seed by seed, so that curves are whole.

    Args:
        pooled: the pooled data set.
        asked: losses, amounts and seeds.
        out: the study's folder.

    Returns:
        (loss, added, seed) -> the run.
    """
    plan = plan_dataset(pooled.dataset, PlanOptions(asked.dims, asked.memory))
    order = [
        (loss, added, seed)
        for seed in range(asked.seeds)
        for loss in asked.losses
        for added in asked.added
    ]
    requests = {}
    for loss, added, seed in order:
        steps = steps_of(asked.steps, len(pooled.base), added, asked.fixed_steps)
        settings = with_loss({**asked.settings, "steps": steps, "seed": seed}, loss)
        if asked.mixed:
            settings["data"] = {**settings.get("data", {}), "by_domain": True}
        requests[loss, added, seed] = RunRequest(
            pooled.dataset,
            options=two_phases(asked.warm_start),
            fold="fixed",
            labelled=str(training_list(pooled, added, out)),
            plan=plan,
            config=make_config(settings),
        )
    return requests


def run_name(loss: str, added: int, seed: int) -> str:
    """Return the folder of a run.

    Args:
        loss: its name.
        added: novel cases.
        seed: of the run.

    Returns:
        LOSS-ADDED-seedSEED.
    """
    return f"{loss}-{added}-seed{seed}"


def training_list(pooled: Pooled, added: int, out: Path) -> Path:
    """Write a file with the cases of a step, one a line, for `labelled`.

    Args:
        pooled: the pooled data set.
        added: novel cases.
        out: the study's folder.

    Returns:
        The file.
    """
    file = out / "steps" / f"{added}.txt"
    write_text(file, "\n".join([*pooled.base, *pooled.novel[:added]]) + "\n")
    return file.resolve()


def step_divergences(pooled: Pooled, added: Sequence[int]) -> dict[int, dict[str, float]]:
    """Return amount of novel data -> divergences of base's training cases from the novel ones."""
    names = [*pooled.base, *pooled.novel[: max(added)]]
    found = grey_levels([pooled.dataset[n] for n in names], pooled.dataset.labels)
    first = len(pooled.base)
    return {n: divergences(found, range(first), range(first, first + n)) for n in added}


def curves(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Tabulate mean, spread over seeds, and difference to no loss of each loss and amount."""
    rows = []
    plain = table[table["loss"] == "none"].set_index(["added", "seed"])["dice"]
    for _, runs in table.groupby(["loss", "added"], sort=False):
        loss, added = runs.iloc[0][["loss", "added"]]
        spread = float(runs["dice"].std(ddof=1)) if len(runs) > 1 else None
        rows.append(
            {"loss": loss, "added": int(added), "dice": float(runs["dice"].mean()),
             "sd": spread, "iou": float(runs["iou"].mean()), "seeds": len(runs),
             **against(plain, runs.set_index(["added", "seed"])["dice"])}
        )  # fmt: skip
    return rows
