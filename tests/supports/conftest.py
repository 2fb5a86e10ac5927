"""Phantoms with a lesion annotated and nothing else, and the masks of their organs beside them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from hinterland.data.io.volume import read_label, write_label
from hinterland.phantoms.dataset import make_phantoms

LESION = 5


@pytest.fixture(scope="session")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms with all labels: (3, 1, 1) cases of 20^3."""
    return make_phantoms(tmp_path_factory.mktemp("data") / "truth", (3, 1, 1), size=20)


@pytest.fixture(scope="session")
def lesions(truth: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, but only the lesion (5) is annotated."""
    folder = tmp_path_factory.mktemp("lesions") / "ds"
    shutil.copytree(truth, folder)
    (folder / "labels.yaml").unlink()
    for file in folder.glob("labels*/*.nii.gz"):
        volume = read_label(file)
        write_label(file, (volume.array[0] == LESION) * LESION, like=volume, overwrite=True)
    spec = {
        "tree": {"background": {}, "lesion": {}},
        "target": ["lesion"],
        "schemes": {"full": {0: "background", LESION: "lesion"}},
    }
    (folder / "labels.yaml").write_text(yaml.safe_dump(spec))
    return folder


@pytest.fixture(scope="session")
def organs(truth: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of multi-label files in which the lesion counts as part of its host."""
    folder = tmp_path_factory.mktemp("organs")
    for file in truth.glob("labels*/*.nii.gz"):
        volume = read_label(file)
        array = volume.array[0].copy()
        array[array == LESION] = 1
        write_label(folder / file.name, array, like=volume)
    names = {"background": 0, "host": 1, "decoy": 2, "bowel": 3, "spine": 4}
    (folder / "dataset.json").write_text(json.dumps({"labels": names}))
    return folder
