"""AUROC of many classifiers on the same test cases: intervals over patients and runs together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hinterland.classification.evaluation.compare import patients_of, read_evaluation, truth_of
from hinterland.classification.scores.resampling import resample_weights, weighted_auroc
from hinterland.evaluation.statistics.bootstrap import percentile_interval

RESAMPLES = 1000
Key = tuple[str, float]
"""An arm and a share."""


def auroc_draws(classifier: Path, seed: int = 0) -> tuple[np.ndarray, int]:
    """Compute the AUROC of an evaluated classifier, first as it is, then for each resample.

    The same seed draws the same patients for all classifiers with the same test cases.

    Args:
        classifier: its directory.
        seed: of the bootstrap over patients.

    Returns:
        AUROC (1 + RESAMPLES,), the mean over judged classes, and the number of patients.
    """
    found = read_evaluation(classifier)
    rows = found.rows.sort_index()
    weights, count = resample_weights([*map(str, rows.index)], patients_of(rows), RESAMPLES, seed)
    weights = np.vstack([np.ones(len(rows)), weights])
    areas = []
    for name in found.judged:
        truth = truth_of(rows, name)
        at = truth.notna().to_numpy()
        scores = rows[f"score: {name}"].to_numpy(float)
        areas.append(weighted_auroc(truth[at].to_numpy(int), scores[at], weights[:, at]))
    known = np.isfinite(areas)
    with np.errstate(invalid="ignore"):
        return np.where(known, areas, 0.0).sum(axis=0) / known.sum(axis=0), count


def curve(draws: Mapping[Key, Sequence[np.ndarray]], patients: int) -> list[dict[str, Any]]:
    """Tabulate the mean AUROC over runs at each share, with a 95 % interval.

    Test patients and runs (subsets, weights) are both resampled, so that the interval holds for
    other patients and other subsets. With one run it is that over patients alone.

    Args:
        draws: (arm, share) -> of each run what `auroc_draws` returns.
        patients: how many are resampled.

    Returns:
        Rows `arm`, `share`, `auroc`, `low`, `high`, `runs`, `sd` (over runs).
    """
    rows = []
    for (arm, share), runs in draws.items():
        values = np.array([run[0] for run in runs])
        low, high = _interval(np.stack(runs)[:, 1:], patients)
        sd = float(values.std(ddof=1)) if len(runs) > 1 else None
        rows.append(
            {"arm": arm, "share": share, "auroc": float(values.mean()), "low": low, "high": high,
             "runs": len(runs), "sd": sd}
        )  # fmt: skip
    return rows


def differences(
    draws: Mapping[Key, Sequence[np.ndarray]], base: str, patients: int
) -> list[dict[str, Any]]:
    """Tabulate how much better each arm is than `base` at each share, paired by run and patient.

    Args:
        draws: (arm, share) -> of each run what `auroc_draws` returns.
        base: the arm that the others are held against.
        patients: how many are resampled.

    Returns:
        Rows `arm`, `share`, `difference`, `low`, `high`.
    """
    rows = []
    for (arm, share), runs in draws.items():
        if arm == base or (base, share) not in draws:
            continue
        gains = np.stack(runs) - np.stack(draws[base, share])
        low, high = _interval(gains[:, 1:], patients)
        rows.append({"arm": arm, "share": share, "difference": float(gains[:, 0].mean()),
                     "low": low, "high": high})  # fmt: skip
    return rows


def draw(rows: Sequence[Mapping[str, Any]], table: pd.DataFrame, title: str, figure: Any) -> None:
    """Draw AUROC against the share of labelled patients, with bands and a dot for each run.

    Args:
        rows: of `curve`.
        table: one row a run, with arm, share and auroc.
        title: of the figure.
        figure: a figure of matplotlib.
    """
    axes = figure.subplots()
    points = pd.DataFrame(rows)
    for number, (arm, own) in enumerate(points.groupby("arm", sort=False)):
        own, colour = own.sort_values("share"), f"C{number}"
        axes.fill_between(own["share"], own["low"], own["high"], color=colour, alpha=0.15, lw=0)
        axes.plot(own["share"], own["auroc"], marker="o", color=colour, label=arm)
        runs = table[table["arm"] == arm]
        axes.plot(runs["share"], runs["auroc"], ".", color=colour, alpha=0.5, markersize=4)
    axes.set_xscale("log")
    shares = sorted(points["share"].unique())
    axes.set_xticks(shares, [f"{s:g} %" for s in shares])
    axes.minorticks_off()
    axes.set(xlabel="labelled training patients", ylabel="AUROC on the test cases")
    axes.legend(frameon=False)
    axes.set_title(title, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _interval(draws: np.ndarray, patients: int) -> tuple[float, float]:
    """Return the 95 % interval of the mean over runs of draws (runs, resamples)."""
    count = len(draws)
    drawn = np.random.default_rng(0).integers(0, count, (count, draws.shape[1]))
    means = np.take_along_axis(draws, drawn, axis=0).mean(axis=0)
    low, high = percentile_interval(means[:, None], patients, expanded=False)
    return float(low[0]), float(high[0])
