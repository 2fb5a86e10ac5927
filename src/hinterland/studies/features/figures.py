"""Figures of the feature analysis: Dice against L_fd by layer, and activation maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from hinterland.studies.features.probe import FeatureProbe, tiles_of
from hinterland.studies.runner import save_figure
from hinterland.training.runs.run import Run
from hinterland.types import Case


def draw_scatter(table: pd.DataFrame, file: Path) -> None:
    """Draw a panel for each layer: cases are points, grey without the loss, coloured with it.

    The title says the correlation of the coloured ones.
    """
    from matplotlib.figure import Figure

    layers = list(dict.fromkeys(table["layer"]))
    columns = min(4, len(layers))
    rows = -(-len(layers) // columns)
    figure = Figure(figsize=(2.6 * columns, 2.4 * rows), layout="constrained")
    panels = np.ravel(figure.subplots(rows, columns, sharey=True, squeeze=False))
    for axes, layer in zip(panels, layers, strict=False):
        part = table[table["layer"] == layer]
        if "fd_without" in part:
            axes.scatter(part["fd_without"], part["dice_without"], s=10, color="0.7")
        for group, colour in (("", "C0"), ("worst-off", "C3"), ("best-off", "C2")):
            of = part[part["group"] == group]
            axes.scatter(of["fd"], of["dice"], s=12, color=colour, label=group or "others")
        axes.set_title(f"{layer}{_correlation(part)}", fontsize=8)
        axes.set_xlabel("L_fd", fontsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(layers) :]:
        axes.set_axis_off()
    panels[0].set_ylabel("Dice")
    panels[0].legend(frameon=False, fontsize=6)
    save_figure(figure, file)


def _correlation(part: pd.DataFrame) -> str:
    """Say Pearson's r of a layer's cases; nothing where it is not known."""
    known = part.dropna(subset=["fd", "dice"])
    if len(known) < 3 or not known["fd"].std() or not known["dice"].std():
        return ""
    return f" (r = {known['fd'].corr(known['dice']):+.2f})"


def activation(run: Run, image: np.ndarray, layers: Sequence[str]) -> dict[str, np.ndarray]:
    """Compute for each layer the mean of |F| over channels, its largest value 1.

    Maps have the size of the tile.

    Args:
        run: a finished run.
        image: (C, *tile).
        layers: names of feature maps.

    Returns:
        Layer -> (*tile).
    """
    maps = FeatureProbe.at(run).feature_maps(image)
    result = {}
    for layer in layers:
        flat = maps[layer].abs().mean(dim=1, keepdim=True)
        mode = "bilinear" if image.ndim == 3 else "trilinear"
        grown = torch.nn.functional.interpolate(flat, size=image.shape[1:], mode=mode)[0, 0]
        result[layer] = (grown / grown.max().clamp(min=1e-12)).numpy()
    return result


def draw_activations(
    run: Run, without: Run | None, cases: Sequence[Case], layers: Sequence[str], file: Path
) -> None:
    """Draw a row for each case: the tile with most foreground, its target, each layer's map.

    Args:
        run: trained with the loss.
        without: trained without it, or None.
        cases: that are drawn.
        layers: names of feature maps.
        file: the picture to write.
    """
    from matplotlib.figure import Figure

    runs = {"without": without, "with": run} if without is not None else {"": run}
    width = 2 + len(layers) * len(runs)
    figure = Figure(figsize=(1.7 * width, 1.8 * len(cases)), layout="constrained")
    grid = figure.subplots(len(cases), width, squeeze=False)
    probe = FeatureProbe.at(run)
    inside = probe.member.any(dim=1).numpy() & probe.decided.any(dim=1).numpy()
    for number, (row, case) in enumerate(zip(grid, cases, strict=True)):
        image, known = max(tiles_of(run, case), key=lambda tile: int(inside[tile[1]].sum()))
        target = inside[known]
        z = int(target.sum(axis=(1, 2)).argmax()) if target.ndim == 3 else None
        panels = {"image": image[0], "target": target.astype(float)}
        for layer in layers:
            for word, one in runs.items():
                assert one is not None
                panels[f"{layer} {word}".strip()] = activation(one, image, [layer])[layer]
        for axes, (title, values) in zip(row, panels.items(), strict=True):
            flat = values if z is None else values[z]
            axes.imshow(flat, cmap="gray" if title in ("image", "target") else "inferno")
            axes.set_title("" if number else title, fontsize=7)
            axes.set_xticks([])
            axes.set_yticks([])
        row[0].set_ylabel(case.name, fontsize=6)
    save_figure(figure, file)
