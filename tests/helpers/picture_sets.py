"""Two small data sets of grey pictures: a bright disc on a dark or on a bright ground."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from hinterland.data.dataset.read import read_dataset
from hinterland.types import Dataset

QUICK = {
    "precision": "fp32",
    "network_options": {"features": [4, 8]},
    "batch_size": 2,
    "patch_size": [32, 32],
    "data": {"augmentation": "none"},
    "validation": {"mirror": False, "interval": 2},
}


def picture(rng: np.random.Generator, ground: float, edge: int) -> tuple[np.ndarray, np.ndarray]:
    """A grey image and its mask, (edge, edge) uint8."""
    y, x = np.mgrid[:edge, :edge]
    centre, radius = rng.uniform(0.3 * edge, 0.7 * edge, 2), rng.uniform(0.12, 0.25) * edge
    inside = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
    image = ground + (0.9 - ground) * inside + 0.05 * rng.standard_normal((edge, edge))
    return (np.clip(image, 0, 1) * 255).astype(np.uint8), inside.astype(np.uint8)


def pictures(
    folder: Path, splits: dict[str, int], ground: float = 0.2, edge: int = 32, seed: int = 0
) -> Dataset:
    """Write images/, masks/ and splits.json with so many pictures in each split."""
    rng = np.random.default_rng(seed)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    listed: dict[str, list[str]] = {}
    for split, count in splits.items():
        listed[split] = [f"{split}{i}" for i in range(count)]
        for name in listed[split]:
            image, mask = picture(rng, ground, edge)
            Image.fromarray(image).save(folder / "images" / f"{name}.png")
            Image.fromarray(mask).save(folder / "masks" / f"{name}.png")
    (folder / "splits.json").write_text(json.dumps(listed))
    return read_dataset(folder)
