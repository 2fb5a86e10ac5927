"""Draw the figures of an evaluation: ROC, reliability, recall by size, cases with overlays."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from io import BytesIO, StringIO
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import binary_dilation

from hinterland.classification.scores.curves import GRID, ReliabilityBin, Roc

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY = "#2a6fbb", "#d9622b", "#2e9e5b", "#888888"
THUMBNAIL = 224
BANDS = 5


def roc_figure(curves: dict[str, Roc], areas: dict[str, str]) -> str:
    """Draw ROC curves with their bands (up to `BANDS` curves) and operating points, as SVG."""
    figure, axes = _square()
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
    for number, (name, roc) in enumerate(curves.items()):
        colour = f"C{number}" if len(curves) > 1 else BLUE
        if len(curves) <= BANDS:  # more of them hide one another
            axes.fill_between(GRID, roc.low, roc.high, color=colour, alpha=0.15, linewidth=0)
        style = ("-", "--", ":")[number // 10 % 3]  # after ten curves colours come again
        axes.plot(
            roc.false_positive, roc.recall, style, color=colour, label=f"{name} {areas[name]}"
        )
        axes.plot(*roc.at, "o", color=colour, markersize=6)
    axes.set(xlabel="1 - specificity", ylabel="recall", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.legend(frameon=False, fontsize=8, loc="lower right", title="AUROC", title_fontsize=8)
    return _svg(figure)


def reliability_figure(bins: Mapping[str, Sequence[ReliabilityBin]]) -> str:
    """Draw shares of positives against probabilities, as SVG; areas of points are case numbers."""
    figure, axes = _square()
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
    for number, (name, found) in enumerate(bins.items()):
        colour = f"C{number}" if len(bins) > 1 else BLUE
        x, y = [b.probability for b in found], [b.share for b in found]
        spread = [[b.share - b.low for b in found], [b.high - b.share for b in found]]
        axes.errorbar(x, y, yerr=spread, fmt="none", ecolor=colour, elinewidth=0.8)
        sizes = [12 + 200 * b.count / sum(b.count for b in found) for b in found]
        axes.scatter(x, y, s=sizes, color=colour, label=name, zorder=3)
    axes.set(xlabel="calibrated probability", ylabel="share of positives")
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    if len(bins) > 1:
        axes.legend(frameon=False, fontsize=8, loc="upper left")
    return _svg(figure)


def recall_figure(recalls: pd.DataFrame) -> str:
    """Draw recall with its interval by size and place, and strict recall as a ring, as SVG."""
    from matplotlib.figure import Figure

    rows = recalls[::-1]
    figure = Figure(figsize=(5.6, 0.9 + 0.34 * len(rows)), layout="constrained")
    axes = figure.subplots()
    y = np.arange(len(rows))
    spread = np.abs(rows[["low", "high"]].to_numpy(float).T - rows["recall"].to_numpy(float))
    axes.errorbar(
        rows["recall"], y, xerr=spread, fmt="o", color=BLUE, elinewidth=0.9, label="recall"
    )
    if "strict_recall" in rows:
        axes.plot(
            rows["strict_recall"], y, "o", markerfacecolor="none", color=ORANGE, markersize=9,
            linestyle="none", label="and in the right place",
        )  # fmt: skip
    several = len(set(rows["class"])) > 1
    names = [
        f"{c + ': ' if several else ''}{s} (n = {n})"
        for c, s, n in zip(rows["class"], rows["subgroup"], rows["positives"], strict=True)
    ]
    axes.set_yticks(y, names, fontsize=8)
    axes.set(xlim=(-0.03, 1.03), xlabel="recall")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)
    return _svg(figure)


def overlay(image: np.ndarray, found: np.ndarray | None, reference: np.ndarray | None) -> str:
    """Draw a slice with the outlines of the found (orange) and reference mask (green).

    Args:
        image: Grey values (z, y, x); the slice with most of the reference, else of the found mask,
            else the middle one is shown.
        found: Bool (z, y, x), or None.
        reference: Bool (z, y, x), or None.

    Returns:
        A PNG as a data URI.
    """
    sums = [m.sum(axis=(1, 2)) for m in (reference, found) if m is not None and m.any()]
    z = int(sums[0].argmax()) if sums else len(image) // 2
    low, high = np.percentile(image[z], (1, 99))
    grey = np.clip((image[z] - low) / max(high - low, 1e-12), 0, 1) * 255
    scale = THUMBNAIL / max(grey.shape)
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    pixels = np.stack(
        [np.asarray(Image.fromarray(grey.astype(np.uint8)).resize(size))] * 3, axis=-1
    )
    for mask, colour in ((reference, GREEN), (found, ORANGE)):
        if mask is not None and mask.any():
            grown = np.asarray(Image.fromarray(mask[z]).resize(size, Image.Resampling.NEAREST))
            pixels[binary_dilation(grown, iterations=1) & ~grown] = _rgb(colour)
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, format="png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def _square() -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.set_aspect("equal")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Figure) -> str:
    stream = StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]
