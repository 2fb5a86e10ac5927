"""Where each label integer of a case is found, so that patches can be drawn around it."""

from __future__ import annotations

import zlib

import numpy as np

LOCATIONS = 10_000
"""Voxels remembered per label integer of a case."""


def label_locations(label: np.ndarray, name: str = "") -> dict[int, np.ndarray]:
    """Up to `LOCATIONS` voxels (n, 3) int16 of each value of (z, y, x), drawn without replacement.

    The draw depends on the case's name and the value only.
    """
    values, counts = np.unique(label, return_counts=True)
    found = {}
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        rng = np.random.default_rng((zlib.crc32(name.encode()), value % 2**32))
        flat = _draw(label.reshape(-1), value, count, rng)
        found[value] = np.stack(np.unravel_index(flat, label.shape), axis=1).astype(np.int16)
    return found


def _draw(flat: np.ndarray, value: int, count: int, rng: np.random.Generator) -> np.ndarray:
    if count < 20 * LOCATIONS or count < 0.05 * flat.size:
        hits = np.flatnonzero(flat == value)
        return np.sort(rng.choice(hits, min(count, LOCATIONS), replace=False))
    # a list of all voxels of a common value would take eight times the label's memory
    tries = rng.integers(flat.size, size=int(2 * LOCATIONS * flat.size / count))
    hits = np.unique(tries[flat[tries] == value])
    return np.sort(rng.choice(hits, min(len(hits), LOCATIONS), replace=False))
