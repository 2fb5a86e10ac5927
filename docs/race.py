"""Draws docs/race.png from the results of `python -m benchmarks race`: python docs/race.py"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from benchmarks.harness.tables import load, per_case
from benchmarks.peers.race import DICE, cells, seconds_of_curve
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

STYLES = {
    "fast, growing": ("#aa3377", "Hinterland, fast, growing patches"),
    "fast": ("#cc3311", "Hinterland, fast"),
    "nnunet": ("#ee9933", "Hinterland, nnunet"),
    "nnU-Net, our plan": ("#0077bb", "nnU-Net's trainer, the same plan"),
    "nnU-Net": ("#888888", "nnU-Net's trainer, its own plan"),
}


def main() -> None:
    found: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    everything = cells("cpu", 3)
    results = load("race", "cpu", everything)
    for cell in everything:
        if cell.name in results:
            found.setdefault(cell.group, []).append((kind(cell.arm), results[cell.name]))
    peers = {word for word in STYLES if word.startswith("nnU-Net")}
    found = {  # one side alone is no race
        name: runs
        for name, runs in found.items()
        if peers & {word for word, _ in runs} and {word for word, _ in runs} - peers
    }
    figure, axes = plt.subplots(
        1, len(found), figsize=(3.2 * len(found), 2.9), dpi=110, sharey=True, squeeze=False
    )
    for axis, (name, runs) in zip(axes[0], found.items(), strict=True):
        draw(axis, name, runs)
    axes[0, 0].set_ylabel("Dice")
    used = {word for runs in found.values() for word, _ in runs}
    shown = [style for word, style in STYLES.items() if word in used]
    marks = [plt.Line2D([], [], marker="D", ms=4, color=colour) for colour, _ in shown]
    figure.legend(
        marks, [text for _, text in shown], loc="lower center", ncols=5, frameon=False, fontsize=8
    )
    figure.tight_layout(rect=(0, 0.09, 1, 1))
    figure.savefig(Path(__file__).with_name("race.png"), pil_kwargs={"optimize": True})


def kind(arm: str) -> str:
    """Return the style of an arm, which begins with its name."""
    return next(word for word in STYLES if arm.startswith(word))


def draw(axis: Axes, name: str, runs: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Lines are validation while training, diamonds the test cases at the end."""
    for word, run in runs:
        colour = STYLES[word][0]
        points = seconds_of_curve(run)
        minutes = [seconds / 60 for seconds, _ in points]
        axis.plot(minutes, [dice for _, dice in points], color=colour, lw=1, alpha=0.6)
        axis.plot(run["seconds_training"] / 60, per_case([run], DICE).mean(), "D", color=colour)
    axis.set_xscale("log")
    axis.set_xticks([0.3, 1, 3, 10, 30], ["0.3", "1", "3", "10", "30"])
    axis.minorticks_off()
    axis.set_title(name, fontsize=9)
    axis.set_xlabel("minutes of training, one core", fontsize=8)
    axis.set_ylim(0, 1)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.25)


if __name__ == "__main__":
    main()
