"""Figures of the confidence study: curves, embedding, and maps of one slice a case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hinterland.data.io.volume import read_label
from hinterland.data.preprocessing.geometry import Geometry
from hinterland.data.sampling.label_sets import foreground_values
from hinterland.inference.uncertainty import disagreement, ensemble_predictions, uncertainty
from hinterland.studies.runner import save_figure
from hinterland.training.runs.run import Run
from hinterland.types import Case

PANELS = ("image, reference", "prediction", "confidence", "entropy", "disagreement")


def draw_curves(log: pd.DataFrame, file: Path) -> None:
    """Draw a panel for each quantity, with a line for each run."""
    from matplotlib.figure import Figure

    quantities = list(dict.fromkeys(log["quantity"]))
    figure = Figure(figsize=(3 * max(len(quantities), 1), 2.6), layout="constrained")
    panels = figure.subplots(1, max(len(quantities), 1), squeeze=False)[0]
    for axes, quantity in zip(panels, quantities, strict=False):
        for name, part in log[log["quantity"] == quantity].groupby("run", sort=False):
            axes.plot(part["step"], part["value"], marker="o", markersize=3, label=name)
        axes.set_title(f"validation {quantity}", fontsize=9)
        axes.set_xlabel("steps", fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    if quantities:
        panels[0].legend(frameon=False, fontsize=7)
    save_figure(figure, file)


def draw_embedding(points: pd.DataFrame, file: Path) -> None:
    """Draw a panel for each run, with a colour for each class."""
    from matplotlib.figure import Figure

    runs = list(dict.fromkeys(points["run"]))
    cells = list(dict.fromkeys(points["cell"]))
    figure = Figure(figsize=(3.2 * len(runs), 3.3), layout="constrained")
    for axes, run in zip(figure.subplots(1, len(runs), squeeze=False)[0], runs, strict=True):
        own = points[points["run"] == run]
        for cell in cells:
            part = own[own["cell"] == cell]
            axes.scatter(part["x"], part["y"], s=5, linewidths=0, label=cell)
        axes.set_title(f"{run}: silhouette {own['silhouette'].iloc[0]:.2f}", fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(cells),
        frameon=False, fontsize=8, markerscale=2.5,
    )  # fmt: skip
    save_figure(figure, file)


def draw_maps(
    runs: Mapping[str, Run], cases: Sequence[Case], file: Path, done: Callable[[int], None]
) -> None:
    """Draw the slice with most foreground and how sure the run is, a row for each case and run.

    Args:
        runs: name -> run.
        cases: that are drawn.
        file: the picture to write.
        done: called with the number of runs that are drawn.
    """
    from matplotlib.figure import Figure

    rows: dict[tuple[int, int], dict[str, Any]] = {}
    for at, run in enumerate(runs.values()):
        for number, content in enumerate(_slices(run, cases)):
            rows[number, at] = content
        done(at + 1)
    panels = [p for p in PANELS if any(p in content for content in rows.values())]
    figure = Figure(figsize=(1.9 * len(panels), 2.0 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(panels), squeeze=False)
    names = list(runs)
    for line, ((number, at), content) in zip(grid, sorted(rows.items()), strict=True):
        for axes, panel in zip(line, panels, strict=True):
            axes.set_xticks([])
            axes.set_yticks([])
            if panel not in content:
                axes.text(0.5, 0.5, "one opinion", ha="center", va="center", fontsize=8)
                continue
            picture = content[panel]
            if panel in PANELS[:2]:
                axes.imshow(content["image"], cmap="gray")
                axes.contour(picture, np.arange(picture.max()) + 0.5, colors="C1", linewidths=0.8)
            else:
                shown = axes.imshow(picture, cmap="viridis", vmin=0, vmax=1)
        line[0].set_ylabel(f"{names[at]}\n{cases[number].name}", fontsize=7)
    for axes, panel in zip(grid[0], panels, strict=True):
        axes.set_title(panel, fontsize=9)
    figure.colorbar(shown, ax=grid, shrink=0.5, aspect=40)
    save_figure(figure, file)


def _slices(run: Run, cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Return, of each case, the panels of one slice, (y, x) arrays."""
    cells, found = run.method.cells, []
    for case, volume, geometry, estimates in ensemble_predictions(run, cases):
        assert case.label is not None
        label = read_label(case.label, case.images[0]).array[0]
        spec = run.record.spec
        values = sorted(foreground_values(spec.scheme(case.scheme), spec.target))
        truth = (np.searchsorted(values, label) + 1) * np.isin(label, values)
        z = int((truth > 0).sum(axis=(1, 2)).argmax())
        own = estimates[0]  # what is deployed, so that runs compare whatever views they train

        def restored(
            values: np.ndarray, outside: int = -1, geometry: Geometry = geometry, z: int = z
        ) -> np.ndarray:
            return geometry.undo(values[None].astype(np.float32), background=outside)[0, z]

        panels = {
            "image": volume.array[0, z].astype(float),
            PANELS[0]: truth[z],
            PANELS[1]: geometry.undo_argmax(own, background=cells.background)[z],
            PANELS[2]: restored(own.max(axis=0), outside=0),  # sure of it: nothing is there
            PANELS[3]: restored(uncertainty(own)),
        }
        if len(estimates) > 1:
            panels[PANELS[4]] = restored(disagreement(estimates))
        found.append(panels)
    return found
