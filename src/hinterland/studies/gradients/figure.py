"""Paper 1's figure 2, measured: gradients of structures, and level sets of the log-likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hinterland.studies.gradients.measure import Gradients
from hinterland.studies.runner import save_figure

FINE, COARSE = "C0", "#e377c2"
LEVELS = (1.0, 2.0, 4.0)


def plane_of(information: np.ndarray) -> np.ndarray:
    """Return the two directions with the most information, (parameters, 2)."""
    values, vectors = np.linalg.eigh(information)
    return vectors[:, np.argsort(values)[::-1][:2]]


def draw_gradients(found: Mapping[str, Gradients], file: Path) -> None:
    """Draw a row a run: gradients, level sets of both labels, and their spectra.

    Args:
        found: run's name -> what was measured.
        file: the picture to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4 * len(found)), layout="constrained")
    grid = figure.subplots(len(found), 3, squeeze=False)
    for row, (name, one) in zip(grid, found.items(), strict=True):
        _arrows(row[0], one)
        _level_sets(row[1], one)
        _spectra(row[2], one)
        row[0].set_ylabel(name, fontsize=9)
    for axes, title in zip(
        grid[0],
        ("gradients (unit length)", "level sets of the log-likelihood", "spectra"),
        strict=True,
    ):
        axes.set_title(title, fontsize=9)
    for axes in grid.ravel():
        axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, file)


def _arrows(axes: Any, one: Gradients) -> None:
    """Draw the scores in their main plane; an arrow shorter than 1 points out of it."""
    unit = one.scores / np.maximum(np.linalg.norm(one.scores, axis=1, keepdims=True), 1e-12)
    whole = one.background / max(float(np.linalg.norm(one.background)), 1e-12)
    plane = np.linalg.svd(unit, full_matrices=False)[2][:2]
    if len(plane) < 2:
        plane = np.vstack([plane, np.zeros_like(plane)])
    drawn = [(plane @ whole, "black", "background, one label")]
    drawn += [
        (plane @ u, f"C{i % 10}", name)
        for i, (u, name, count) in enumerate(zip(unit, one.structures, one.counts, strict=True))
        if count
    ]
    for end, colour, label in drawn:
        style = {"arrowstyle": "->", "color": colour, "lw": 2}
        axes.annotate("", xy=end, xytext=(0, 0), arrowprops=style)
        axes.plot([], [], color=colour, lw=2, label=label)
    axes.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal", xticks=[], yticks=[])
    axes.legend(frameon=False, fontsize=6, loc="best")


def _level_sets(axes: Any, one: Gradients) -> None:
    """Draw d^T I d = 1, 2, 4 of both informations, in the plane with the most of the coarse one.

    Elsewhere the coarse label's sets are longer still.
    """
    plane = plane_of(one.coarse)
    fine, coarse = (plane.T @ matrix @ plane for matrix in (one.fine, one.coarse))
    least = [max(float(np.linalg.eigvalsh(matrix)[0]), 1e-12) for matrix in (fine, coarse)]
    inner, outer = (np.sqrt(LEVELS[-1] / value) for value in least)
    reach = 1.15 * min(outer, 6 * inner)
    x, y = np.meshgrid(*[np.linspace(-reach, reach, 201)] * 2)
    points = np.stack([x, y], axis=-1)
    for matrix, colour, label in (
        (coarse, COARSE, "target or not"), (fine, FINE, "all structures"),
    ):  # fmt: skip
        values = np.einsum("xyi,ij,xyj->xy", points, matrix, points)
        axes.contour(x, y, values, levels=LEVELS, colors=colour, linewidths=1.2)
        axes.plot([], [], color=colour, label=label)
    axes.legend(frameon=False, fontsize=7, loc="upper right")
    axes.set(xticks=[], yticks=[], aspect="equal")


def _spectra(axes: Any, one: Gradients) -> None:
    """Draw the eigenvalues of both informations, the largest first."""
    for matrix, colour in ((one.fine, FINE), (one.coarse, COARSE)):
        values = np.sort(np.linalg.eigvalsh(matrix))[::-1]
        values = values[values > 1e-10 * values[0]][:100]
        axes.plot(np.arange(1, len(values) + 1), values, color=colour, marker=".", ms=3, lw=1)
    axes.set_yscale("log")
    lost = float(one.cases["lost"].mean())
    axes.set_xlabel(f"direction of the last layer ({lost:.0%} of the information lost)", fontsize=8)
