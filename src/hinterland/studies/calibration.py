"""Are a folder's probabilities calibrated, voxel by voxel: tables and a reliability diagram."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from hinterland.data.io.files import write_text
from hinterland.evaluation.calibration import calibrate_folder
from hinterland.evaluation.statistics.bootstrap import bootstrap_ci
from hinterland.evaluation.table import write_table
from hinterland.studies.runner import save_figure
from hinterland.types import HinterlandError

SCORES = ("brier", "ece", "brier_near", "ece_near")


def analyse_calibration(
    predictions: Path,
    references: Path,
    out: Path,
    *,
    labels: Path | None = None,
    at: str = "target",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Measure the calibration of stored probabilities, and draw it.

    Writes cases.csv (Brier score and calibration error of each case and class), bins.csv and
    reliability.png (share inside against probability), and summary.json.

    Args:
        predictions: folder of `hinterland predict --probabilities`.
        references: folder of label files.
        out: the folder to write into.
        labels: a labels.yaml.
        at: the question that was predicted.
        overwrite: write into a folder that is not empty.

    Returns:
        What summary.json holds: by class the mean of each score with its interval over cases.

    Raises:
        HinterlandError: `out` is not empty; and as `calibrate_folder`.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not overwrite:
        raise HinterlandError(f"{out} is not empty. Give --overwrite, or another --out.")
    cases, bins = calibrate_folder(predictions, references, spec=labels, at=at)
    classes = {}
    for name, part in cases.groupby("class", sort=False):
        found = {score: bootstrap_ci(part[score].to_numpy(float)) for score in SCORES}
        classes[str(name)] = {
            score: {"mean": i.mean, "low": i.low, "high": i.high, "cases": i.n}
            for score, i in found.items()
        }
    out.mkdir(parents=True, exist_ok=True)
    write_table(cases, out / "cases.csv", overwrite=overwrite)
    write_table(bins, out / "bins.csv", overwrite=overwrite)
    draw_reliability(bins, out / "reliability.png")
    summary = {"at": at, "out": str(out), "classes": classes}
    write_text(out / "summary.json", json.dumps(_finite(summary), indent=2) + "\n")
    return summary


def draw_reliability(bins: pd.DataFrame, file: Path) -> None:
    """Draw the share of voxels inside against their probability, and how many voxels there are."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 5), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle=":")
    for name, part in bins.groupby("class", sort=False):
        axes.plot(part["probability"], part["share"], marker="o", markersize=4, label=str(name))
        below.plot(part["probability"], part["voxels"], marker="o", markersize=3)
    axes.set(ylabel="share of voxels inside", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    below.set(xlabel="probability", ylabel="voxels", yscale="log")
    axes.legend(frameon=False, fontsize=8)
    for panel in (axes, below):
        panel.spines[["top", "right"]].set_visible(False)
    save_figure(figure, file)


def _finite(value: Any) -> Any:
    """Put null for numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return None if value != value else value
