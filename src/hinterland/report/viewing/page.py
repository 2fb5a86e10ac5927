"""Cases as one page: volumes in the 3D viewer, pictures with contours."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import Any

import numpy as np

from hinterland.report.gallery.gallery import REFERENCE, Choice, Exhibit, exhibit
from hinterland.report.gallery.source import channels_last
from hinterland.report.viewer.page import render_page, render_view
from hinterland.report.viewer.scene import CaseVolumes, make_scenes

BUDGET = 12_000_000
"""Bytes that the volumes of a page may take together, unless --budget says otherwise."""


def view_page(title: str, about: str, cases: Sequence[CaseVolumes], budget: int = BUDGET) -> str:
    """Write the page of some cases.

    Args:
        title: what they are of.
        about: a sentence on them.
        cases: one or more; pictures where all have a single slice.
        budget: bytes for the volumes.

    Returns:
        HTML that refers to nothing outside of itself.
    """
    if all(case.volume.shape[0] == 1 for case in cases):
        methods = list(dict.fromkeys(m for case in cases for m in case.predictions))
        items = [_picture(e, case, methods) for case in cases for e in _exhibits(case)]
        return render_page(
            "pictures.html", title=title, lede=about, items=items,
            methods=[{"name": m} for m in methods],
            reference=any(case.reference is not None for case in cases),
        )  # fmt: skip
    return render_view(title, about, make_scenes(cases, budget), budget)


def _exhibits(case: CaseVolumes) -> list[Exhibit]:
    """Return a picture for each class of a case, or one where nothing is known of it."""
    image = channels_last(case.volume.array)
    nothing = np.zeros(case.volume.shape, bool)
    if case.at is None or (case.reference is None and not case.predictions):
        choice = Choice(case.case, "", "", nan, "win")
        return [exhibit(choice, {}, image, {REFERENCE: nothing}, (1.0, 1.0, 1.0))]
    shown = []
    for group in case.at.foreground:
        masks = {REFERENCE: nothing}
        if case.reference is not None:
            sets = [*case.reference.at.groups, *case.reference.open_sets]
            inside = [i for i, leaves in enumerate(sets) if leaves <= case.at.groups[group]]
            masks[REFERENCE] = np.isin(case.reference.codes, inside)
        masks |= {name: codes == group for name, codes in case.predictions.items()}
        if len(case.at.foreground) > 1 and not any(m.any() for m in masks.values()):
            continue
        choice = Choice(case.case, case.at.names[group], "", nan, "win")
        shown.append(exhibit(choice, {}, image, masks, (1.0, 1.0, 1.0)))
    return shown


def _picture(e: Exhibit, case: CaseVolumes, methods: Sequence[str]) -> dict[str, Any]:
    frame = e.frames[0]
    return {
        "case": case.case,
        "group": e.choice.group,
        "remark": case.remark,
        "width": e.size[0],
        "height": e.size[1],
        "picture": frame.picture,
        "contours": [
            {
                "layer": name if name == REFERENCE else f"m{methods.index(name)}",
                "series": None if name == REFERENCE else methods.index(name),
                "path": path,
            }
            for name, path in frame.contours.items()
            if path
        ],
    }
