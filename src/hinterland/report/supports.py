"""The structures beside the target: how well methods see them, and pictures with all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hinterland.evaluation.statistics.subgroups import summarise_subgroups
from hinterland.labels import Coarsening, LabelTree
from hinterland.report.breakdown import Breakdown, means_table
from hinterland.report.runs import Arm, Run, cells_of
from hinterland.report.viewing.overlay import COLOURS, grey_window, slice_picture


@dataclass(frozen=True)
class StructurePictures:
    """One slice of a case: the image, then the reference and each method with all their labels.

    Attributes:
        case: its name.
        place: which slice, or empty for a picture.
        panels: title -> picture, a data URI.
        colours: what is drawn -> colour.
    """

    case: str
    place: str
    panels: dict[str, str]
    colours: dict[str, str]


def support_names(cells: Coarsening, target: Coarsening) -> list[str]:
    """Return the cells that are background of the target, but for the one with the remainder."""
    background = target.groups[target.background]
    return [
        name
        for index, (name, group) in enumerate(zip(cells.names, cells.groups, strict=True))
        if index != cells.background and group <= background
    ]


def support_dice(arms: Sequence[Arm]) -> pd.DataFrame:
    """Compute the mean Dice of predicted structures beside the target with the reference.

    Args:
        arms: methods with the rows of all questions in their tables. A run counts where its table
            has the question of all cells that it tells apart; bare tables are left out.

    Returns:
        One row a method and structure: method, class, mean, low and high (95 %, over patients),
        cases, patients; none where no method sees any structure.
    """
    columns = ["method", "class", "mean", "low", "high", "cases", "patients"]
    parts = [_rows(run).assign(method=arm.name) for arm in arms for run in arm.runs]
    table = pd.concat(parts, ignore_index=True)
    if table.empty:
        return pd.DataFrame(columns=columns)
    table = table.assign(subgroup="", coarsening="")
    return summarise_subgroups(table, ["dice"])[columns]


def support_table(dice: pd.DataFrame) -> list[Breakdown]:
    """Make the table of `support_dice`, a row a method; none where there is nothing in it."""
    title = "Dice of the structures beside the target"
    return [] if dice.empty else [means_table(title, dice, "dice")]


def _rows(run: Run) -> pd.DataFrame:
    """Return the rows of a run's table that judge its supports."""
    if run.record is None or not {"coarsening", "class", "dice"} <= set(run.table):
        return run.table.iloc[:0]
    cells, spec = cells_of(run.record), run.record.spec
    asked = {**spec.questions, "leaves": spec.tree.leaves, "cells": cells}
    same = [name for name, at in asked.items() if set(at.groups) == set(cells.groups)]
    text = run.table["coarsening"].astype(str)
    found = next((name for name in same if (text == name).any()), None)
    names = support_names(cells, spec.target)
    return run.table[(text == found) & run.table["class"].astype(str).isin(names)]


def structure_pictures(
    case: str,
    place: str,
    image: np.ndarray,
    layers: Mapping[str, tuple[np.ndarray, Mapping[int, frozenset[int]]]],
    sides: tuple[float, float],
    tree: LabelTree,
) -> StructurePictures:
    """Draw a slice with all labels of each layer; what may be the remainder is left clear.

    One set of leaves has one colour in all panels. Sets of several leaves, which a method does not
    tell apart, have a colour of their own.

    Args:
        case: its name.
        place: which slice, for people.
        image: (y, x), or (y, x, 3) in colour.
        layers: title -> integers (y, x), and the leaves that each may be.
        sides: height and width of a pixel.
        tree: of the leaves.

    Returns:
        The pictures, the image alone first.
    """
    grey = image.mean(axis=-1) if image.ndim == 3 else image
    rest = tree.leaf_names.index(tree.remainder)
    known = {s for _, meaning in layers.values() for s in meaning.values() if s and rest not in s}
    order = sorted(known, key=lambda s: (len(s), sorted(s)))
    colours = {s: COLOURS[i % len(COLOURS)] for i, s in enumerate(order)}
    window = grey_window(grey)
    panels = {"image": slice_picture(grey, grey=window, sides=sides)}
    seen: set[frozenset[int]] = set()
    for title, (labels, meaning) in layers.items():
        drawn = {v: colours[s] for v, s in meaning.items() if s in colours}
        panels[title] = slice_picture(grey, labels, drawn, grey=window, sides=sides)
        seen |= {meaning[v] for v in np.unique(labels).tolist() if v in drawn}
    names = {
        "+".join(tree.leaf_names[i] for i in sorted(s)): colours[s] for s in order if s in seen
    }
    return StructurePictures(case, place, panels, names)
