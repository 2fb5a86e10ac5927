"""What the plan did to cases: spacing, shape and intensities before and after."""

from __future__ import annotations

from typing import Any

import numpy as np

from hinterland.data.io.volume import read_label, read_volume
from hinterland.data.sampling.label_sets import LabelSetLookup
from hinterland.report.viewer.page import render_page
from hinterland.report.viewing.overlay import slice_picture
from hinterland.report.viewing.training import TrainingView, row_colours
from hinterland.types import Case, Normalisation, Plan, Tick

_PERCENTILES = (0, 0.5, 50, 99.5, 100)


def preprocessed_page(view: TrainingView, number: int, tick: Tick | None = None) -> str:
    """Write a page on the first cases of a training, as they come and as the network gets them.

    Args:
        view: what is trained on.
        number: of cases.
        tick: called with (done, of how many) while cases are prepared.

    Returns:
        HTML that refers to nothing outside of itself.
    """
    cases = view.cases[:number]
    prepared = view.prepared(cases, tick)
    colours = row_colours(view.dataset)
    named = {name: colour for colour, name in colours.values()}
    drawn = {row: colour for row, (colour, _) in colours.items()}
    cards, rows = [], []
    for case in cases:
        card, row = _case(view, case, prepared[case.name], drawn)
        cards.append(card)
        rows.append(row)
    plan = view.plan
    spacing = " × ".join("as is" if s is None else f"{s:.4g}" for s in plan.spacing)
    table = {
        "caption": "Voxels and grey values (first channel: least, 0.5 %, median, 99.5 %, largest)",
        "columns": ["spacing before", "after", "shape before", "cropped", "after",
                    "grey before", "grey after"],
        "rows": rows,
    }  # fmt: skip
    return render_page(
        "sheet.html",
        title=f"What the plan did: {view.dataset.name or view.dataset.root.name}",
        lede=f"{view.about} Target spacing {spacing} {plan.unit} (z, y, x); {_scales(plan)}.",
        note="Left, the case as it lies on disk; right, after cropping, resampling and scaling. "
        "The same slice, through the largest target where there is one.",
        legend=[{"name": name, "colour": colour} for name, colour in named.items()],
        cards=cards,
        tables=[table],
    )


def _scales(plan: Plan) -> str:
    told = [f"{channel} {_scale(n)}" for channel, n in
            zip(plan.channels, plan.normalisation, strict=True)]  # fmt: skip
    return "channels: " + ", ".join(told)


def _scale(n: Normalisation) -> str:
    if n.scheme == "ct":
        return f"cut to {n.lower:g} .. {n.upper:g}, minus {n.mean:.4g}, over {n.std:.4g}"
    words = {"zscore": "minus its mean, over its standard deviation", "none": "as it is",
             "rescale": f"from {n.lower:g} .. {n.upper:g} to 0 .. 1"
             if n.upper > n.lower else "from its own range to 0 .. 1"}  # fmt: skip
    return words[n.scheme] + (" (of voxels that are not zero)" if n.masked else "")


def _case(
    view: TrainingView, case: Case, stored: Any, drawn: dict[int, str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    volume, geometry = read_volume(case.images), stored.geometry
    spec = view.dataset.labels
    rows = after = None
    if case.label is not None:
        lookup = LabelSetLookup(spec.label_sets, spec.scheme(case.scheme))
        labels = read_label(case.label, case.images[0]).array[0].astype(np.int16)
        rows = lookup(labels.transpose(geometry.transpose), case.name)
        after = lookup(np.asarray(stored.label), case.name)
    image = volume.array[0].transpose(geometry.transpose)
    z = _fullest(spec, rows, len(image))
    inside = (z + 0.5 - geometry.start[0]) / max(geometry.stop[0] - geometry.start[0], 1)
    small = int(np.clip(inside * stored.image.shape[1], 0, stored.image.shape[1] - 1))
    before, target = geometry.spacing, geometry.target
    pictures = [
        {"name": f"on disk, slice {z + 1}", "picture": slice_picture(
            image[z], None if rows is None else rows[z], drawn, sides=before[1:])},
        {"name": f"prepared, slice {small + 1}", "picture": slice_picture(
            np.asarray(stored.image[0, small]), None if after is None else after[small], drawn,
            sides=target[1:])},
    ]  # fmt: skip
    card = {"title": case.name, "lines": [], "pictures": pictures, "foreground": False}
    cropped = [b - a for a, b in zip(geometry.start, geometry.stop, strict=True)]
    cells = [_by(before), _by(target), _by(image.shape), _by(cropped),
             _by(stored.image.shape[1:]), _greys(image), _greys(stored.image[0])]  # fmt: skip
    return card, {"name": case.name, "cells": cells}


def _fullest(spec: Any, rows: np.ndarray | None, slices: int) -> int:
    """Return the slice with most of the target, or the middle one."""
    if rows is None:
        return slices // 2
    member = spec.label_sets.member(spec.target)[:, list(spec.target.foreground)].any(axis=1)
    counts = member[rows].sum(axis=(1, 2))
    return int(counts.argmax()) if counts.any() else slices // 2


def _by(values: Any) -> str:
    return " × ".join(f"{v:.4g}" for v in values)


def _greys(image: np.ndarray) -> str:
    return ", ".join(f"{v:.4g}" for v in np.percentile(image, _PERCENTILES))
