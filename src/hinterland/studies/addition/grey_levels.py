"""Grey-level histograms of foreground, background and whole image, and how far apart they lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hinterland.data.io.volume import read_label, read_volume
from hinterland.labels import LabelSpec
from hinterland.theory.divergences import histogram_js, histogram_kl
from hinterland.types import Case

BINS = 256
REGIONS = ("foreground", "background", "image")
_LUMINOSITY = np.array([0.2126, 0.7152, 0.0722])  # ITU-R BT.709
Histograms = Mapping[str, np.ndarray]
"""Region -> (cases, BINS) counts."""


def grey(array: np.ndarray) -> np.ndarray:
    """Reduce (C, z, y, x) to (z, y, x): luminosity of three channels, else the mean of all."""
    if len(array) == 3:
        return np.tensordot(_LUMINOSITY, array.astype(np.float64), axes=1)
    return array.astype(np.float64).mean(axis=0)


def grey_levels(
    cases: Sequence[Case], spec: LabelSpec, progress: Callable[[int, int], None] | None = None
) -> Histograms:
    """Count the grey levels of each case.

    Foreground are the voxels known to lie in a foreground group of the target, background those
    known to lie in none. 8-bit images share the range 0 to 255, all else the range from the lowest
    to the highest value of these cases.

    Args:
        cases: labelled cases.
        spec: the labels, with the target.
        progress: called with (done, of how many).

    Returns:
        Region -> counts (cases, bins).
    """
    low, high = _range(cases)
    foreground = frozenset().union(*(spec.target.groups[g] for g in spec.target.foreground))
    rows: dict[str, list[np.ndarray]] = {region: [] for region in REGIONS}
    for done, case in enumerate(cases, start=1):
        values = grey(read_volume(case.images).array)
        index = np.clip((values - low) / (high - low) * BINS, 0, BINS - 1).astype(int)
        inside = outside = np.zeros(values.shape, bool)
        if case.label is not None and case.labelled:
            label = read_label(case.label, case.images[0]).array[0]
            meaning = spec.scheme(case.scheme).label_values
            inside = np.isin(label, [v for v, s in meaning.items() if s <= foreground])
            outside = np.isin(label, [v for v, s in meaning.items() if not s & foreground])
        for region, where in (
            ("foreground", inside), ("background", outside), ("image", np.ones_like(inside)),
        ):  # fmt: skip
            rows[region].append(np.bincount(index[where], minlength=BINS))
        if progress:
            progress(done, len(cases))
    return {region: np.stack(counts) for region, counts in rows.items()}


def _range(cases: Sequence[Case]) -> tuple[float, float]:
    lows, highs = [], []
    for case in cases:
        array = read_volume(case.images).array
        if array.dtype == np.uint8:
            lows.append(0.0)
            highs.append(256.0)
        else:
            lows.append(float(array.min()))
            highs.append(float(array.max()) + 1e-6)
    return min(lows), max(highs)


def divergences(found: Histograms, one: Sequence[int], two: Sequence[int]) -> dict[str, float]:
    """Return KL(one || two) and JS distance of the pooled histograms of two sets of cases.

    Args:
        found: grey levels of each case.
        one: positions of the cases of one set.
        two: positions of those of the other.

    Returns:
        kl_foreground, js_foreground, ...; NaN where a set is empty or has no such voxel.
    """
    result: dict[str, float] = {}
    for region, counts in found.items():
        p, q = (counts[list(index)].sum(axis=0) for index in (one, two))
        result[f"kl_{region}"] = histogram_kl(p, q)
        result[f"js_{region}"] = histogram_js(p, q)
    return result
