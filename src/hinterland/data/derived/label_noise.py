"""Noisy support labels: masks that agree with the given ones up to a chosen Dice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates

from hinterland.data.io.files import file_stamp
from hinterland.data.io.volume import read_label, write_label
from hinterland.data.preprocessing.cache import cache_root
from hinterland.labels import Scheme
from hinterland.types import Dataset, HinterlandError

Label = NDArray[np.integer]
_VERSION = 1
_THIN = 8  # an axis of fewer voxels is not bent: the slices of a thick-sliced scan stay apart
_SMOOTH = 0.06  # correlation length of the displacement, share of an axis


def mean_dice(one: Label, other: Label, values: Collection[int]) -> float:
    """Return the mean Dice 2 |A and B| / (|A| + |B|) of two label maps over `values`.

    Only values that either map holds count; without any the mean is 1.

    Args:
        one: a label map.
        other: another one, of the same shape.
        values: the classes that are compared.

    Returns:
        The mean, from 0 to 1.
    """
    found = []
    for value in values:
        a, b = one == value, other == value
        if size := int(a.sum()) + int(b.sum()):
            found.append(2 * int((a & b).sum()) / size)
    return float(np.mean(found)) if found else 1.0


def perturb(
    label: Label,
    supports: Collection[int],
    kept: Collection[int],
    dice: float,
    rng: np.random.Generator,
) -> tuple[Label, float]:
    """Return a label array whose `supports` agree with the given ones with a mean Dice near `dice`.

    The anatomy is bent by a smooth random displacement whose size is found by bisection; voxels
    of `kept` values (the target) stay as they are, and win over all others.

    Args:
        label: integers.
        supports: values that are moved.
        kept: values that stay.
        dice: the mean Dice to reach.
        rng: draws the displacement.

    Returns:
        The array, of the same shape and type, and the Dice reached.
    """
    if dice >= 1 or not np.isin(label, list(supports)).any():
        return label, 1.0
    protected = np.isin(label, list(kept))
    anatomy = label
    if protected.any() and not protected.all():
        nearest = distance_transform_edt(protected, return_distances=False, return_indices=True)
        anatomy = label[tuple(nearest)]  # what would be there without the target
    field = [_smooth(rng, label.shape) if n >= _THIN else None for n in label.shape]
    grid = np.indices(label.shape, dtype=np.float32)

    def bent(amplitude: float) -> Label:
        at = np.stack(
            [g if f is None else g + amplitude * f for g, f in zip(grid, field, strict=True)]
        )
        moved = map_coordinates(anatomy, at, order=0, mode="nearest").astype(label.dtype)
        return np.where(protected, label, moved)

    low, high = 0.0, 0.5
    while mean_dice(label, bent(high), supports) > dice and high < max(label.shape):
        low, high = high, 2 * high
    for _ in range(12):
        middle = (low + high) / 2
        if mean_dice(label, bent(middle), supports) > dice:
            low = middle
        else:
            high = middle
    best = min((bent(low), bent(high)), key=lambda b: abs(mean_dice(label, b, supports) - dice))
    return best, mean_dice(label, best, supports)


def _smooth(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    noise = gaussian_filter(
        rng.normal(size=shape), [_SMOOTH * n if n >= _THIN else 0 for n in shape], mode="wrap"
    )
    return (noise / noise.std()).astype(np.float32)


def support_values(scheme: Scheme, target: frozenset[int]) -> tuple[list[int], list[int]]:
    """Return the values of a scheme that mean support structures, and those that touch the target.

    A support is a value inside the background of the target that is not the remainder alone.
    """
    tree = scheme.tree
    rest = frozenset({tree.leaf_names.index(tree.remainder)})
    kept = [v for v, leaves in scheme.values if leaves & target]
    supports = [v for v, leaves in scheme.values if not leaves & target and not rest <= leaves]
    return supports, kept


def with_noisy_supports(
    dataset: Dataset, names: Collection[str], dice: float, seed: int, folder: Path | None = None
) -> Dataset:
    """Return the data set with noisy support labels in the cases `names`; the target is untouched.

    The changed label files go into `folder`, with the Dice that
    each reached in noise.json, and are found again by the next call.

    Args:
        dataset: the cases.
        names: the cases that are changed.
        dice: the mean Dice to reach, above 0.
        seed: of the displacements.
        folder: for the changed files; default, one below `cache_root()`.

    Returns:
        The data set with other label files.

    Raises:
        HinterlandError: a Dice outside (0, 1], or labels without support structures.
    """
    if not 0 < dice <= 1:
        raise HinterlandError(f"noisy supports of Dice {dice}: expected a number above 0, up to 1.")
    asked = dataset.labels.target
    target = frozenset().union(*(asked.groups[i] for i in asked.foreground))
    folder = folder or cache_root() / "noisy"
    changed = []
    for case in dataset.cases:
        if case.name not in names or case.label is None:
            changed.append(case)
            continue
        supports, kept = support_values(dataset.labels.scheme(case.scheme), target)
        if not supports:
            raise HinterlandError(
                f"noisy supports: the scheme {case.scheme!r} of case {case.name} names no support "
                "structure beside the target and the remainder."
            )
        digits = repr(
            (_VERSION, file_stamp(case.label), sorted(supports), sorted(kept), dice, seed)
        )
        key = hashlib.blake2b(digits.encode(), digest_size=8).hexdigest()
        path = folder / key / case.label.name
        if not path.is_file():
            volume = read_label(case.label)
            rng = np.random.default_rng([seed, crc32(case.name.encode())])
            noisy, reached = perturb(volume.array[0], supports, kept, dice, rng)
            path.parent.mkdir(parents=True, exist_ok=True)
            (path.parent / "noise.json").write_text(
                json.dumps({"label": str(case.label), "asked": dice, "reached": round(reached, 4)})
            )
            write_label(path, noisy, like=volume, overwrite=True)
        changed.append(replace(case, label=path))
    return dataset.replace(cases=tuple(changed))
