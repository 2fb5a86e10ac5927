"""Figures of the synthetic study: one panel a sweep, as in the paper's Figure 5 and A3."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

from hinterland.data.io.files import atomic_path
from hinterland.studies.synthetic.sweeps import Sweep

COLOURS = {"classifier": "#c44e52", "segmentation": "#2a6fb0", "points": "#6aa84f"}
NAMES = {
    "classifier": "classifier",
    "segmentation": "segmentation, then the rule",
    "points": "segmentation, one pixel a square",
}


def draw_sweep(
    sweep: Sweep, table: pd.DataFrame, out: Path, *, endings: Sequence[str] = ("svg",)
) -> list[Path]:
    """Draw balanced accuracy and AUROC along the sweep into OUT/NAME.ENDING.

    Points are means over seeds. Bars: the 95 % bootstrap interval over test images with one seed,
    else from the lowest to the highest seed.

    Args:
        sweep: what is varied.
        table: one row for each value, arm and seed.
        out: the folder to write into.
        endings: formats of the picture.

    Returns:
        The files.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    metrics = (("balanced_accuracy", "balanced accuracy"), ("auroc", "AUROC"))
    for axes, (metric, name) in zip(panels, metrics, strict=True):
        for arm in sweep.arms:
            rows = table[table["arm"] == arm] if len(table) else table
            if len(rows):
                _curve(axes, rows, metric, arm)
        axes.axhline(0.5, color="0.7", lw=0.8, zorder=0)
        axes.set(xlabel=sweep.axis, ylabel=name, ylim=(0.4, 1.02))
        if sweep.log:
            axes.set_xscale("log")
            # powers of ten alone leave a sweep over one or two decades without a readable axis
            axes.set_xticks(sorted(set(table["value"])) if len(table) else [])
            axes.xaxis.set_major_formatter("{x:g}")
            axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    panels[1].legend(frameon=False, fontsize=8, loc="lower right")
    figure.suptitle(sweep.title, fontsize=11)
    files = []
    out.mkdir(parents=True, exist_ok=True)
    for ending in endings:
        file = out / f"{sweep.name}.{ending}"
        # no date inside: the same figures are the same file
        metadata = {"Date": None} if ending == "svg" else {"Software": None}
        with rc_context({"svg.hashsalt": sweep.name}), atomic_path(file) as temporary:
            figure.savefig(temporary, format=ending, dpi=120, metadata=metadata)
        files.append(file)
    return files


def _curve(axes: Any, rows: pd.DataFrame, metric: str, arm: str) -> None:
    by_value = rows.groupby("value")
    mean = by_value[metric].mean()
    if len(set(rows["seed"])) > 1:
        low, high = by_value[metric].min(), by_value[metric].max()
    else:
        low, high = by_value[f"{metric}_low"].mean(), by_value[f"{metric}_high"].mean()
    bars = [(mean - low).clip(lower=0), (high - mean).clip(lower=0)]
    axes.errorbar(
        mean.index, mean, yerr=bars, color=COLOURS[arm], label=NAMES[arm], marker="o", ms=4,
        lw=1.5, capsize=2, elinewidth=0.8,
    )  # fmt: skip
