"""Noise on the inputs: trained on noisy images and tested on clean ones, and the reverse.

Paper 2, figure 9: zero-mean Gaussian noise of sigma on images in [0, 1], clipped to [0, 1].
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from hinterland.data.dataset.splits import fixed
from hinterland.data.derived.dataset import Change, Member, write_derived
from hinterland.data.planning.plan_dataset import PlanOptions, plan_dataset
from hinterland.evaluation.table import write_table as write_metrics
from hinterland.studies.addition.figure import NAMES
from hinterland.studies.claim import claim
from hinterland.studies.runner import (
    WARM_START,
    Report,
    against,
    record_of_study,
    regularisers,
    save_figure,
    target_scores,
    train_all,
    two_phases,
    with_loss,
    write_summary,
    write_table,
)
from hinterland.training.config import make_config
from hinterland.training.runs.outcome import evaluate_run_predictions
from hinterland.training.runs.request import RunRequest
from hinterland.training.runs.run import Run
from hinterland.types import Dataset, HinterlandError

log = logging.getLogger(__name__)
SIGMAS = (0.05, 0.10, 0.15, 0.20)


@dataclass(frozen=True)
class Noise:
    """Settings of a study of noise.

    Attributes:
        sigmas: of the training images; 0 (clean) is always there, too.
        test_sigmas: noise put on the test images of the runs that were trained on clean ones.
        all_tests: put that noise on the test images of all runs.
        settings: of `TrainConfig`, nested.
        draw: the seed of noise, and of validation cases where none are given.
        warm_start: share of the steps that is a phase of its own, in every arm; see `two_phases`.
    """

    sigmas: tuple[float, ...] = SIGMAS
    test_sigmas: tuple[float, ...] = SIGMAS
    losses: tuple[str, ...] = ("none", "fd", "con", "deeps")
    seeds: int = 3
    steps: int = 10_000
    all_tests: bool = False
    size: tuple[int, int] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    dims: Literal[2, 3] | None = None
    memory: float = 8.0
    draw: int = 0
    warm_start: float = WARM_START


def gaussian(sigma: float, seed: int) -> Change:
    """Make the change clip(I + eta, 0, 1), eta ~ N(0, sigma^2) per voxel, new for each case."""

    def change(name: str, array: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng([seed, zlib.crc32(name.encode()), round(sigma * 1e6)])
        noisy = array + sigma * rng.standard_normal(array.shape)
        return np.clip(noisy, 0, 1).astype(array.dtype)

    return change


def noisy_dataset(
    dataset: Dataset,
    folder: Path,
    sigma: float,
    *,
    noisy: Sequence[str],
    parts: Sequence[str] = ("train", "val", "test"),
    size: tuple[int, int] | None = None,
    seed: int = 0,
) -> Dataset:
    """Copy the labelled cases of these splits, with noise on those in `noisy`.

    Args:
        dataset: the cases.
        folder: for the copy.
        sigma: standard deviation of the noise, intensities from 0 to 1.
        noisy: splits that get noise.
        parts: splits that are copied.
        size: (rows, columns) to resize pictures to.
        seed: of a split that is drawn.

    Returns:
        The copy.
    """
    split = fixed(dataset, seed)
    chosen = [
        Member(case, case.name, part)
        for part in parts
        for case in getattr(split, part)
        if case.labelled
    ]
    where = {m.name for m in chosen if m.split in noisy}
    added = gaussian(sigma, seed)

    def change(name: str, array: np.ndarray) -> np.ndarray:
        return added(name, array) if name in where else array

    return write_derived(
        folder, chosen, dataset.labels, dataset.channels, change=change if sigma else None,
        size=size, why={"sigma": sigma, "noisy": sorted(noisy), "seed": seed},
    )  # fmt: skip


def run_noise(
    dataset: Dataset,
    asked: Noise,
    out: Path | str,
    *,
    report: Report | None = None,
    stage: Callable[[str], None] | None = None,
    overwrite: bool = False,
    queue: Path | None = None,
) -> dict[str, Any]:
    """Train every loss at every sigma with every seed, and test on clean and on noisy images.

    Validation images are clean. Writes table.csv (one row a run and test noise), figure.png and
    summary.json into `out`. Called again after an interruption it goes on where it was.

    Args:
        dataset: the cases.
        asked: losses, sigmas and seeds.
        out: the folder to write into.
        report: called with (done, of how many, message) within a stage.
        stage: called with what begins.
        overwrite: replace another study that is there.
        queue: the folder of a queue whose workers train the runs; None trains here.

    Returns:
        What summary.json holds.

    Raises:
        HinterlandError: an unknown loss, a sigma outside [0, 1], or `out` holds another study.
    """
    out, say = Path(out), stage or log.info
    regularisers(asked.losses)
    sigmas = (0.0, *(s for s in asked.sigmas if s))
    if any(not 0 <= s <= 1 for s in (*sigmas, *asked.test_sigmas)):
        raise HinterlandError(f"sigmas {asked.sigmas}: expected numbers from 0 to 1.")
    record = record_of_study(asked, dataset)
    claim(out, "noise", record, overwrite)
    say("writing noisy images")
    trained = {s: _copy(dataset, out, f"train-{s:g}", s, asked, ("train",)) for s in sigmas}
    tested = {
        s: _copy(dataset, out, f"test-{s:g}", s, asked, ("test",)) for s in asked.test_sigmas if s
    }
    requests = noise_requests(trained, asked)
    named = {f"{lo}-{s:g}-seed{k}": request for (lo, s, k), request in requests.items()}
    rows = []
    for (loss, sigma, seed), run in zip(
        requests, train_all(out / "runs", named, report, stage, queue), strict=True
    ):
        row = {"loss": loss, "train_sigma": sigma, "seed": seed}
        rows.append({**row, "test_sigma": 0.0, **figures_of(run.path / "metrics.csv", dataset)})
        if sigma == 0 or asked.all_tests:
            for test_sigma, copy in tested.items():
                file = evaluate_on(run, copy, f"test-{test_sigma:g}")
                rows.append({**row, "test_sigma": test_sigma, **figures_of(file, dataset)})
    table = _table(rows)
    write_table(table, out / "table.csv")
    draw(table, dataset.root.name, out / "figure.png")
    summary = {
        **record, "curves": noise_curves(table),
        "table": str(out / "table.csv"), "figure": str(out / "figure.png"),
    }  # fmt: skip
    write_summary(summary, out)
    return summary


def _copy(
    dataset: Dataset, out: Path, name: str, sigma: float, asked: Noise, noisy: tuple[str, ...]
) -> Dataset:
    parts = ("train", "val", "test") if noisy == ("train",) else noisy
    return noisy_dataset(
        dataset, out / "data" / name, sigma, noisy=noisy, parts=parts, size=asked.size,
        seed=asked.draw,
    )  # fmt: skip


def noise_requests(
    trained: Mapping[float, Dataset], asked: Noise
) -> dict[tuple[str, float, int], RunRequest]:
    """Return (loss, sigma, seed) -> the run."""
    options = PlanOptions(asked.dims, asked.memory)
    plans = {sigma: plan_dataset(data, options) for sigma, data in trained.items()}
    requests = {}
    for loss, sigma, seed in [
        (lo, s, k) for k in range(asked.seeds) for lo in asked.losses for s in trained
    ]:
        settings = with_loss({**asked.settings, "steps": asked.steps, "seed": seed}, loss)
        requests[loss, sigma, seed] = RunRequest(
            trained[sigma],
            options=two_phases(asked.warm_start),
            fold="fixed",
            plan=plans[sigma],
            config=make_config(settings),
        )
    return requests


def evaluate_on(run: Run, dataset: Dataset, name: str) -> Path:
    """Evaluate a run on the test cases of another copy of its data, unless that is done.

    Args:
        run: a finished run.
        dataset: the copy.
        name: for the files in the run's directory.

    Returns:
        The metric table.
    """
    file = run.path / f"metrics-{name}.csv"
    if not file.is_file():
        cases = tuple(dataset.test)
        folder = run.predict(cases, run.path / f"predictions-{name}", overwrite=True)
        table = evaluate_run_predictions(run, dataset, cases, folder)
        write_metrics(table, file, overwrite=True)
    return file


def figures_of(file: Path, dataset: Dataset) -> dict[str, float]:
    """Return mean Dice and IoU at the target over the cases of a metrics table."""
    scores = target_scores(file, next(iter(dataset.labels.questions)))
    return {"dice": scores["dice"].mean(), "iou": scores["jaccard"].mean(), "cases": len(scores)}


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:

    return pd.DataFrame(rows)


def noise_curves(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Tabulate mean, spread over seeds, dip from clean, and difference to no loss."""
    rows = []
    keys = ["train_sigma", "test_sigma", "seed"]
    plain = table[table["loss"] == "none"].set_index(keys)["dice"]
    for _, runs in table.groupby(["loss", "train_sigma", "test_sigma"], sort=False):
        loss, train_sigma, test_sigma = runs.iloc[0][["loss", "train_sigma", "test_sigma"]]
        clean = table[(table["loss"] == loss) & (table["train_sigma"] == 0)
                      & (table["test_sigma"] == 0)]  # fmt: skip
        rows.append(
            {"loss": loss, "train_sigma": float(train_sigma), "test_sigma": float(test_sigma),
             "dice": float(runs["dice"].mean()), "seeds": len(runs),
             "sd": float(runs["dice"].std(ddof=1)) if len(runs) > 1 else None,
             "dip": float(runs["dice"].mean() - clean["dice"].mean()),
             **against(plain, runs.set_index(keys)["dice"])}
        )  # fmt: skip
    return rows


def draw(table: pd.DataFrame, title: str, file: Path) -> None:
    """Draw Dice against the noise of the training images, and against that of the test images.

    Args:
        table: one row a run and test noise.
        title: of the figure.
        file: the picture to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    parts = {
        "train_sigma": (table[table["test_sigma"] == 0], "noise of the training images"),
        "test_sigma": (table[table["train_sigma"] == 0], "noise of the test images"),
    }
    for axes, (column, (rows, label)) in zip(
        figure.subplots(1, 2, sharey=True), parts.items(), strict=True
    ):
        for loss, runs in rows.groupby("loss", sort=False):
            groups = runs.groupby(column)["dice"]
            mean, spread = groups.mean(), groups.std(ddof=1).fillna(0)
            axes.errorbar(mean.index, mean, yerr=spread, marker="o", capsize=3,
                          label=NAMES.get(str(loss), str(loss)))  # fmt: skip
        axes.set_xlabel(f"sigma, {label}")
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("Dice on the test cases")
    figure.axes[0].legend(frameon=False)
    figure.suptitle(title, fontsize=9)
    save_figure(figure, file)
