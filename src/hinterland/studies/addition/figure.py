"""The figure of the data addition study: a curve a loss above, divergences below."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hinterland.studies.addition.grey_levels import REGIONS
from hinterland.studies.runner import save_figure

if TYPE_CHECKING:
    import pandas as pd

NAMES = {"none": "none", "fd": "L_fd", "fd+exch": "L_fd + L_exch", "con": "L_con",
         "deeps": "L_deeps"}  # fmt: skip


def draw(table: pd.DataFrame, title: str, file: Path) -> None:
    """Draw Dice on base against the number of novel cases; bars are the s.d. over seeds.

    Args:
        table: one row a run, with loss, added, dice and divergences.
        title: of the figure.
        file: the picture to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for loss, runs in table.groupby("loss", sort=False):
        groups = runs.groupby("added")["dice"]
        mean, spread = groups.mean(), groups.std(ddof=1).fillna(0)
        label = NAMES.get(str(loss), str(loss))
        above.errorbar(mean.index, mean, yerr=spread, marker="o", capsize=3, label=label)
    above.set_ylabel("Dice on the base test cases")
    above.set_title(title, fontsize=8)
    above.legend(frameon=False)
    steps = table.drop_duplicates("added").set_index("added").sort_index()
    for i, region in enumerate(REGIONS):
        below.plot(steps.index, steps[f"js_{region}"], marker="s", color=f"C{i}", label=region)
    below.set_ylabel("JS distance base - added")
    below.set_xticks(steps.index)
    below.set_xlabel("novel training cases")
    below.legend(frameon=False)
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, file)
