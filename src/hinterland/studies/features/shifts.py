"""Figures of what the loss moves: cases as arrows, histograms, and layers with their weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hinterland.studies.runner import save_figure

WITH, WITHOUT, MEAN = "C1", "0.6", "C3"
BINS = 12


def shifts(table: pd.DataFrame) -> pd.DataFrame:
    """Compute for each layer how far cases move from the run without the loss to the run with it.

    Args:
        table: one row a case and layer: layer, fd, dice, fd_without, dice_without.

    Returns:
        One row a layer: layer, n, fd and dice (mean differences, with minus without), up_and_left
        (the share of the cases whose Dice rises while their L_fd falls).
    """
    rows = []
    for layer, part in table.groupby("layer", sort=False):
        moved = pd.DataFrame(
            {"fd": part["fd"] - part["fd_without"], "dice": part["dice"] - part["dice_without"]}
        ).dropna()
        mean = moved.mean()
        better = (moved["fd"] < 0) & (moved["dice"] > 0)
        rows.append(
            {"layer": layer, "n": len(moved), "fd": mean["fd"], "dice": mean["dice"],
             "up_and_left": better.mean() if len(moved) else np.nan}
        )  # fmt: skip
    return pd.DataFrame(rows)


def draw_shifts(table: pd.DataFrame, layers: Sequence[str], file: Path) -> None:
    """Draw for each layer the cases as arrows, and histograms of L_fd and Dice (paper 2, 2b and 4).

    Args:
        table: as for `shifts`.
        layers: which are drawn, a row each; those that the table lacks are left out.
        file: the picture to write.
    """
    from matplotlib.figure import Figure

    shown = [layer for layer in layers if (table["layer"] == layer).any()]
    figure = Figure(figsize=(9.6, 2.9 * len(shown)), layout="constrained")
    grid = figure.subplots(len(shown), 3, squeeze=False)
    for number, (row, layer) in enumerate(zip(grid, shown, strict=True)):
        part = table[table["layer"] == layer].dropna(
            subset=["fd", "dice", "fd_without", "dice_without"]
        )
        _arrows(row[0], part, layer)
        _histogram(row[1], part["fd_without"], part["fd"], f"L_fd, {layer}")
        _histogram(row[2], part["dice_without"], part["dice"], "Dice")
        if not number:
            row[1].legend(frameon=False, fontsize=7)
    for axes in grid.ravel():
        axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, file)


def _arrows(axes: Any, part: pd.DataFrame, layer: str) -> None:
    before, after = part[["fd_without", "dice_without"]], part[["fd", "dice"]]
    for columns, colour in ((before, WITHOUT), (after, WITH)):
        axes.scatter(*columns.to_numpy().T, s=10, color=colour, zorder=3)
    lines = [(a, b, "C2", 0.8) for a, b in zip(before.to_numpy(), after.to_numpy(), strict=True)]
    if len(part):
        lines.append((before.mean().to_numpy(), after.mean().to_numpy(), MEAN, 2.5))
    for start, stop, colour, width in lines:
        style = {"arrowstyle": "->", "color": colour, "lw": width}
        axes.annotate("", xy=stop, xytext=start, arrowprops=style, zorder=4 if width > 1 else 2)
    axes.set_xlabel(f"L_fd, {layer}")
    axes.set_ylabel("Dice")


def _histogram(axes: Any, without: pd.Series, of: pd.Series, label: str) -> None:
    """Draw both distributions in the same bins, with their means as lines."""
    values = pd.concat([without, of])
    low, high = float(values.min()), float(values.max())
    edges = np.linspace(low, high if high > low else low + 1e-3, BINS + 1)
    for series, colour, name in ((without, WITHOUT, "without"), (of, WITH, "with L_fd")):
        axes.hist(series, edges, color=colour, alpha=0.6, label=name)
        axes.axvline(series.mean(), color=colour, lw=2)
    axes.set_xlabel(label)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_ylabel("cases")


def draw_layers(layers: pd.DataFrame, file: Path) -> None:
    """Draw a bar a layer: L_fd, its correlation with Dice, its learned weight (paper 2, 2a).

    Args:
        layers: rows of `correlations`, with mean_fd_without where a run without the loss is known.
        file: the picture to write.
    """
    from matplotlib.figure import Figure

    parts = {"mean L_fd": ["mean_fd_without", "mean_fd"], "Pearson's r with Dice": ["pearson"],
             "weight": ["weight"]}  # fmt: skip
    known = {title: [c for c in columns if c in layers and layers[c].notna().any()]
             for title, columns in parts.items()}  # fmt: skip
    known = {title: columns for title, columns in known.items() if columns}
    figure = Figure(figsize=(3.2 * len(known), 1 + 0.28 * len(layers)), layout="constrained")
    places = np.arange(len(layers))
    for axes, (title, columns) in zip(
        figure.subplots(1, len(known), sharey=True, squeeze=False)[0], known.items(), strict=True
    ):
        height = 0.8 / len(columns)
        for number, column in enumerate(columns):
            lone = len(columns) == 1
            colour = "C0" if lone else (WITHOUT if column.endswith("without") else WITH)
            where = places + (number - (len(columns) - 1) / 2) * height
            label = "without" if column.endswith("without") else "with L_fd"
            axes.barh(where, layers[column], height, color=colour, label=label)
        if len(columns) > 1:
            axes.legend(frameon=False, fontsize=6)
        if title.startswith("Pearson"):
            axes.set_xlim(-1, 1)
        axes.axvline(0, color="0.4", lw=0.8)
        axes.set_title(title, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_yticks(places, layers["layer"], fontsize=7)
    figure.axes[0].invert_yaxis()
    save_figure(figure, file)
