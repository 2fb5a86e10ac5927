"""A tiny healthy data set, and ways to break it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

SHAPE = (9, 8, 6)  # x, y, z
AFFINE = np.diag([0.8, 0.8, 2.0, 1.0])
LABELS_YAML = """
tree: {background: {organ: {}, rest: {}}, lesion: {}}
target: [lesion]
schemes: {full: {0: rest, 1: organ, 2: lesion}}
"""


def nifti(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)


def image_array(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 20, SHAPE).astype(np.float32)


def label_array() -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    label[2:6, 2:6, 1:4] = 1
    label[3:5, 3:5, 2] = 2
    return label


def nnunet(root: Path) -> Path:
    """Two channels, train a1 a2 b1 c1, test t1; healthy."""
    for i, name in enumerate(["a1", "a2", "b1", "c1", "t1"]):
        part = "Ts" if name == "t1" else "Tr"
        for channel in (0, 1):
            nifti(root / f"images{part}/{name}_000{channel}.nii.gz", image_array(10 * i + channel))
        nifti(root / f"labels{part}/{name}.nii.gz", label_array())
    write_json(
        root / "dataset.json",
        {
            "channel_names": {"0": "T1", "1": "T2"},
            "labels": {"background": 0, "organ": 1, "lesion": 2},
            "numTraining": 4,
            "file_ending": ".nii.gz",
        },
    )
    write_json(root / "splits.json", {"train": ["b1", "a1", "a2", "c1"], "test": ["t1"]})
    return root


def plain(root: Path, foreground: int = 1) -> Path:
    """Grey pictures p0..p3 with masks."""
    rng = np.random.default_rng(0)
    for i in range(4):
        picture(root / f"images/p{i}.png", rng.integers(0, 255, (8, 9), dtype=np.uint8))
        mask = np.zeros((8, 9), np.uint8)
        mask[2:5, 3:6] = foreground
        picture(root / f"masks/p{i}.png", mask)
    return root


def picture(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content))


def edit_json(path: Path, **changes: object) -> None:
    """Set keys; None removes one."""
    content = json.loads(path.read_text()) | changes
    write_json(path, {k: v for k, v in content.items() if v is not None})


def cut(path: Path, share: float = 0.6) -> None:
    """Keep only the beginning of a file."""
    os.truncate(path, int(path.stat().st_size * share))
