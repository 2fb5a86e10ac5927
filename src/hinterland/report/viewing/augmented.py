"""Patches as training sees them: where they are drawn, and what augmentation makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np

from hinterland.data.sampling.cropping import cut
from hinterland.data.sampling.label_sets import LabelSetLookup
from hinterland.data.sampling.patches import PatchDataset, PreparedArrays, outline_of
from hinterland.data.sampling.places import Place
from hinterland.data.sampling.sampler import SampleKey, sample_generator, step_keys
from hinterland.report.viewer.page import render_page
from hinterland.report.viewing.overlay import grey_window, slice_picture
from hinterland.report.viewing.training import TrainingView, row_colours
from hinterland.types import Case, Tick


def augmented_page(view: TrainingView, number: int, tick: Tick | None = None) -> str:
    """Write a contact sheet of the first patches of a training.

    Args:
        view: what is trained on.
        number: of patches.
        tick: called with (done, of how many) while cases are prepared.

    Returns:
        HTML that refers to nothing outside of itself.
    """
    streams = view.streams(number, tick)
    keys: list[SampleKey] = []
    for step in count():
        keys += step_keys(step, streams, 0, 1, view.config.data.foreground)
        if len(keys) >= number:
            break
    unread = view.patches({}, streams)
    drawn = {_drawn_case(unread, key)[0].name for key in keys[:number]}
    cases = [case for case in view.cases if case.name in drawn]  # no others are prepared
    patches = view.patches(view.prepared(cases, tick), streams)
    colours = row_colours(view.dataset)
    cards = [_card(view, patches, key, colours) for key in keys[:number]]
    share = sum(card["foreground"] for card in cards)
    size = _by(view.plan.patch_size)
    return render_page(
        "sheet.html",
        title=f"What training sees: {view.dataset.name or view.dataset.root.name}",
        lede=f"{view.about} The first {len(cards)} patches of {size} voxels, {share} of them "
        f"centred on the target (data.foreground: {view.config.data.foreground:g}); augmentation "
        f"{view.config.data.augmentation!r}, seed {view.config.seed}.",
        note="Left, the case and the patch's box in it; middle, the patch as cut; right, as the "
        "network gets it. Slices through the middle of the target where the patch has any.",
        legend=_legend(colours),
        cards=cards,
        tables=[],
    )


def _legend(colours: dict[int, tuple[str, str]]) -> list[dict[str, str]]:
    named = {name: colour for colour, name in colours.values()}
    return [{"name": name, "colour": colour} for name, colour in named.items()]


def _card(
    view: TrainingView,
    patches: PatchDataset,
    key: SampleKey,
    colours: dict[int, tuple[str, str]],
) -> dict[str, Any]:
    case, rng = _drawn_case(patches, key)
    stored = patches.prepared[case.name]
    place = patches.place(rng, case, key, outline_of(stored))
    item = patches[key]
    image, rows = _cut(patches, place, stored)
    after, after_rows = item.image.numpy(), item.annotation.numpy()
    if after.ndim == 3:
        after, after_rows = after[:, None], after_rows[None]
    drawn = {row: colour for row, (colour, _) in colours.items()}
    z, z_after = (_slice(view, r, drawn) for r in (rows, after_rows))
    corner = (place.plane, *place.corner) if place.plane is not None else tuple(place.corner)
    where = int(np.clip(corner[0] + z, 0, stored.image.shape[1] - 1))
    labels = None if stored.label is None or not place.shown else stored.label[where]
    seen = None if labels is None else _rows(patches, place, np.asarray(labels))
    sides = view.plan.spacing[1:]
    edges = [(c, c + n) for c, n in zip(corner[1:], rows.shape[1:], strict=True)]
    grey = grey_window(np.asarray(stored.image[0]))
    return {
        "title": case.name,
        "foreground": bool(key.foreground and place.shown),
        "lines": [
            f"{patches.streams[key.stream].name}, "
            + ("centred on the target" if key.foreground and place.shown else "anywhere"),
            f"corner {', '.join(map(str, corner))} of {_by(stored.image.shape[1:])}",
            _shares(after_rows, colours) if item.labelled else "no label is seen",
            f"grey {after[0].min():.3g} to {after[0].max():.3g}",
        ],
        "pictures": [
            {"name": f"slice {where + 1}", "picture": slice_picture(
                np.asarray(stored.image[0, where]), seen, drawn, grey=grey, sides=sides,
                box=edges)},
            {"name": "cut", "picture": slice_picture(
                image[0, z], rows[z], drawn, grey=grey, sides=sides)},
            {"name": "trained on", "picture": slice_picture(
                after[0, z_after], after_rows[z_after], drawn, grey=grey, sides=sides)},
        ],
    }  # fmt: skip


def _drawn_case(patches: PatchDataset, key: SampleKey) -> tuple[Case, np.random.Generator]:
    """Draw the case of an item by the item's own numbers; its place comes next from these."""
    rng = sample_generator(patches.seed, patches.phase, key.step, key.slot)
    return patches.draw_case(rng, patches.streams[key.stream]), rng


def _cut(
    patches: PatchDataset, place: Place, stored: PreparedArrays
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a patch as it lies in the case: image (C, z, y, x), label sets (z, y, x)."""
    corner, size = tuple(place.corner), tuple(patches.augmentation.patch_size)
    if place.plane is not None:
        corner, size = (place.plane, *corner), (1, *size)
    image = cut(stored.image, corner, size, 0.0)
    if stored.label is None or not place.shown:
        return image, np.full(image.shape[1:], patches.blank(place.case), np.int16)
    return image, _rows(patches, place, cut(stored.label, corner, size, -1))


def _rows(patches: PatchDataset, place: Place, labels: np.ndarray) -> np.ndarray:
    lookup: LabelSetLookup = patches.lookups[place.case.scheme]
    return lookup(labels, place.case.name)


def _slice(view: TrainingView, rows: np.ndarray, drawn: dict[int, str]) -> int:
    """Choose the slice of a patch to show: with most of the target, else of any other label."""
    table, at = view.dataset.labels.label_sets, view.dataset.labels.target
    inside = table.member(at)[:, list(at.foreground)].any(axis=1)
    for chosen in (np.flatnonzero(inside), np.array(list(drawn))):
        counts = np.isin(rows, chosen).sum(axis=(1, 2))
        if counts.any():
            return int(counts.argmax())
    return len(rows) // 2


def _shares(rows: np.ndarray, colours: dict[int, tuple[str, str]]) -> str:
    parts: dict[str, float] = {}
    for row, (_, name) in colours.items():
        parts[name] = parts.get(name, 0.0) + float((rows == row).mean())
    told = [f"{name} {100 * share:.2g} %" for name, share in parts.items() if share]
    return ", ".join(told) or "nothing but background"


def _by(sizes: Sequence[int]) -> str:
    return " × ".join(map(str, sizes))
