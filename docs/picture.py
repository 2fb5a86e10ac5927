"""Draws docs/phantom.png, the picture of the README: python docs/picture.py"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.colors import ListedColormap

from hinterland.phantoms.anatomy import LEAVES
from hinterland.phantoms.dataset import phantom_case

COLOURS = ("#00000000", "#4477aa", "#ccbb44", "#228833", "#aa3377", "#ee6677")  # rest .. lesion
SIZE = 96
LESION = LEAVES.index("lesion")


def main() -> None:
    phantom = phantom_case(3, seed=0, shape=(SIZE,) * 3)
    z = int(np.argmax((phantom.label == LESION).sum(axis=(1, 2))))
    image, label = phantom.image[z], phantom.label[z]
    shown = (
        ("the image", None),
        ("binary: one question", np.where(label == LESION, label, 0)),
        ("BackSplit: the background divided", label),
    )
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.4), dpi=110)
    for axis, (title, overlay) in zip(axes, shown, strict=True):
        axis.imshow(image, cmap="gray", vmin=0, vmax=800)
        if overlay is not None:
            axis.imshow(overlay, cmap=ListedColormap(COLOURS), vmin=0, vmax=5, alpha=0.65,
                        interpolation="nearest")  # fmt: skip
        axis.set_title(title, fontsize=10)
        axis.set_axis_off()
    marks = [plt.Line2D([], [], marker="s", ls="", color=c) for c in COLOURS[1:]]
    figure.legend(marks, LEAVES[1:], loc="lower center", ncols=5, frameon=False, fontsize=9)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.9, bottom=0.1, wspace=0.03)
    figure.savefig(Path(__file__).with_name("phantom.png"), pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main()
