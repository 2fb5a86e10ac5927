"""The figure of a study of support structures: curves where arms have a place, else bars."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(table: pd.DataFrame, title: str, path: Path) -> None:
    """Draw the mean Dice of the arms.

    Arms without an x are horizontal lines beside curves, else bars.

    Args:
        table: one row an arm.
        title: of the figure.
        path: the picture to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    if table["x"].notna().any():
        _curves(axes, table)
    else:
        _bars(axes, table)
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    figure.savefig(temporary, dpi=150, format="png")
    temporary.replace(path)


def _curves(axes: Axes, table: pd.DataFrame) -> None:

    placed = table[table["x"].notna()]
    shared = placed[placed["curve"].str.contains(" and ")]  # a point that several curves end in
    for name, curve in placed.drop(shared.index).groupby("curve", sort=False):
        both = shared[shared["curve"].str.contains(str(name))]
        rows = pd.concat([curve, both]).sort_values("x")
        axes.plot(rows["x"], rows["dice"], marker="o", label=str(name))
    levels = table[table["x"].isna()].to_dict("records")
    for row, style in zip(levels, cycle(("--", ":", "-.")), strict=False):
        axes.axhline(row["dice"], color="grey", linestyle=style, label=row["arm"])
    axes.set_ylabel("Dice of the target")
    axes.legend(frameon=False)


def _bars(axes: Axes, table: pd.DataFrame) -> None:
    spread = table["dice_sd_of_seeds"].fillna(0)
    axes.barh(table["arm"], table["dice"], xerr=spread, color="steelblue", height=0.6)
    axes.invert_yaxis()
    axes.axvline(table["dice"].iloc[0], color="grey", linestyle="--")
    axes.set_xlabel("Dice of the target (line: the first arm; whisker: s.d. of seeds)")
