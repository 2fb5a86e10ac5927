"""Lemma 2 of paper 2, measured: the spectral norms of a trained network's layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from hinterland.networks.roles import LAYERS, TRANSPOSED
from hinterland.studies.runner import save_figure


def spectral_norms(network: nn.Module) -> dict[str, float]:
    """Compute ||W||_2 of every linear and convolutional layer, W (outputs x what one output sees).

    A kernel is taken as the matrix that maps the patch below it to the channels of one position.
    That is the paper's W; the norm of the whole convolution is at most the square root of the
    kernel's voxels times as large. Grouped convolutions, whose matrix is made of blocks, have the
    largest norm of a block.

    Args:
        network: the trained network.

    Returns:
        Layer's name -> norm, in the order of the network.
    """
    found = {}
    with torch.no_grad():
        for name, layer in network.named_modules():
            if isinstance(layer, LAYERS):
                weight = layer.weight.detach().double().cpu()
                groups = getattr(layer, "groups", 1)
                if isinstance(layer, TRANSPOSED):
                    blocks = [b.movedim(1, 0).flatten(1) for b in weight.chunk(groups)]
                else:
                    blocks = [b.flatten(1) for b in weight.chunk(groups)]
                found[name] = max(float(torch.linalg.matrix_norm(b, ord=2)) for b in blocks)
    return found


def norm_table(network: nn.Module, without: nn.Module | None) -> pd.DataFrame:
    """Tabulate the spectral norms of a network, beside those of one trained without the loss.

    Args:
        network: trained with the loss.
        without: the same network, trained without it; or None.

    Returns:
        One row a layer of the network: module, norm, and norm_without where there is one.
    """
    norms = spectral_norms(network)
    table = pd.DataFrame({"module": list(norms), "norm": list(norms.values())})
    if without is not None:
        other = spectral_norms(without)
        table["norm_without"] = [other.get(name, np.nan) for name in norms]
    return table


def norm_ratio(table: pd.DataFrame) -> float | None:
    """Return the geometric mean over layers of norm / norm_without; None without both."""
    if "norm_without" not in table:
        return None
    pairs = table[(table["norm"] > 0) & (table["norm_without"] > 0)]
    if pairs.empty:
        return None
    ratios = pairs["norm"].to_numpy(float) / pairs["norm_without"].to_numpy(float)
    return float(np.exp(np.log(ratios).mean()))


def draw_norms(table: pd.DataFrame, file: Path) -> None:
    """Draw the norm of each layer, in the order of the network, with the loss and without.

    Args:
        table: of `norm_table`.
        file: the picture to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(4.0, 0.22 * len(table) + 1.5), 3.4), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(table))
    names = {"norm_without": ("without", "0.6"), "norm": ("with L_fd", "C1")}
    for column, (label, colour) in names.items():
        if column in table:
            several = "norm_without" in table
            axes.plot(places, table[column], marker="o", ms=3.5, color=colour,
                      label=label if several else None)  # fmt: skip
            if several:
                axes.legend(frameon=False, fontsize=8)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:.3g}")
    axes.yaxis.set_minor_formatter("{x:.3g}")
    axes.set_ylabel("spectral norm")
    axes.set_xticks(places, table["module"], rotation=90, fontsize=5)
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, file)
