"""A file format and an augmentation of one's own: one entry each, used by the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_helpers import FAST, as_json

from hinterland.data.io.formats import FORMATS, VolumeFormat
from hinterland.data.io.volume import read_label, read_volume, write_label
from hinterland.data.sampling.augmentation import AUGMENTATIONS


def read_archive(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path) as content:
        return content["array"], content["affine"]


def write_archive(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    np.savez(path, array=array, affine=affine)


class Dimmed:
    """Half of all contrast, and a record of having been asked."""

    def __init__(self, plan):
        self.patch_size = self.draw_size = plan.patch_size
        self.calls = 0

    def __call__(self, image, rows, rng):
        self.calls += 1
        return torch.from_numpy(image) / 2, torch.from_numpy(rows).long()


@pytest.fixture
def made(monkeypatch):
    """Register both as another package would; the augmentations that were made."""
    made = []
    for registry in (FORMATS, AUGMENTATIONS):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    FORMATS.register("archive", VolumeFormat((".vol.npz",), read_archive, write_archive))
    AUGMENTATIONS.register("dimmed", lambda plan: made.append(Dimmed(plan)) or made[-1])
    return made


def test_train_and_predict_know_them(hinterland, phantoms, made, tmp_path):
    data, run, out = tmp_path / "data", tmp_path / "run", tmp_path / "out"
    shutil.copytree(phantoms, data)
    for file in data.glob("*/*.png"):
        read = read_label if file.parent.name.startswith("labels") else read_volume
        volume = read(file)
        write_archive(file.with_suffix(".vol.npz"), volume.array, volume.affine)
        file.unlink()
    content = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps({**content, "file_ending": ".vol.npz"}))
    assert as_json(hinterland("check", data, "--json"))["ok"]
    hinterland("train", data, "--method", "supervised", "--fold", "fixed", "--steps", 2,
               "--out", run, "--set", "data.augmentation=dimmed", "--set", "data.workers=0",
               *FAST)  # fmt: skip
    assert sum(a.calls for a in made) == 2 * 2  # steps times the batch size of FAST
    hinterland("predict", run, data / "imagesTs", out)
    masks = sorted(out.glob("*.vol.npz"))
    assert len(masks) == 3
    image = read_volume(data / "imagesTs" / masks[0].name.replace(".vol", "_0000.vol"))
    assert read_label(masks[0]).shape == image.shape
    write_label(masks[0], read_label(masks[0]).array[0], like=image, overwrite=True)
