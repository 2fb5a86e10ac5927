"""Copies that were scaled, compressed, brightened or cropped are found; other scans are not."""

from __future__ import annotations

from pathlib import Path

import broken as make
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from hinterland.data.integrity.check import check_dataset
from hinterland.data.integrity.near_duplicates import clusters, describe, near_duplicates


def scan(seed: int, shape=(1, 120, 160)) -> np.ndarray:
    """Smooth noise, (1, z, y, x), from 0 to 255: what speckle looks like."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), (0, 6, 6))
    return ((noise - noise.min()) / np.ptp(noise) * 255).astype(np.float32)[None]


CHANGES = {
    "smaller": lambda a: ndimage.zoom(a, (1, 1, 0.5, 0.5), order=1),
    "brighter": lambda a: 0.6 * a + 90,
    "gamma": lambda a: 255 * (a / 255) ** 1.8,
    "noisy": lambda a: a + np.random.default_rng(9).normal(0, 8, a.shape),
    "cropped": lambda a: a[..., 2:-1, 1:-3],
    "8 bit": lambda a: a.astype(np.uint8),
    "colour": lambda a: np.concatenate([a, a, a]),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("depth", [1, 9])
def test_changed_copies_are_found(change, depth):
    scans = {str(i): scan(i, (depth, 120, 160)) for i in range(8)}
    scans["copy"] = CHANGES[change](scans["3"])
    found = list(near_duplicates({name: describe(a) for name, a in scans.items()}))
    assert [(a, b) for a, b, _ in found] == [("3", "copy")]
    assert 0 <= found[0][2] < 0.27


def test_pictures_and_volumes_are_not_compared():
    described = {"picture": describe(scan(0)), "volume": describe(scan(0, (9, 120, 160)))}
    assert not list(near_duplicates(described))
    assert not list(near_duplicates({}))


def test_the_pairs_are_warned_of(tmp_path: Path) -> None:
    root = make.plain(tmp_path / "set")
    for i in range(4):
        picture = scan(0 if i == 3 else i)[0, 0]
        picture = 0.8 * picture + 20 if i == 3 else picture
        Image.fromarray(picture.astype(np.uint8)).save(root / f"images/p{i}.png")
        mask = np.zeros(picture.shape, np.uint8)
        mask[40:60, 40:60] = 1
        Image.fromarray(mask).save(root / f"masks/p{i}.png")
    (note,) = check_dataset(root, workers=0).problems
    assert (note.severity, note.code) == ("note", "near-duplicate")
    assert "p0 (train) and p3 (train) show nearly the same image" in note.message
    make.write_json(root / "splits.json", {"train": ["p0", "p1"], "test": ["p2", "p3"]})
    (warning,) = check_dataset(root, workers=0).problems
    assert (warning.severity, warning.code) == ("warning", "near-duplicate-across-splits")
    groups = {"p0": {"patient": "a"}, "p3": {"patient": "a"}}
    make.write_json(root / "splits.json", {"train": ["p0", "p1", "p2", "p3"], "cases": groups})
    assert check_dataset(root, workers=0).problems == ()


def test_pairs_join_to_clusters():
    pairs = [("a", "b"), ("c", "d"), ("e", "d"), ("b", "f"), ("c", "e")]
    assert sorted(sorted(c) for c in clusters(pairs)) == [["a", "b", "f"], ["c", "d", "e"]]
    assert clusters([]) == []
