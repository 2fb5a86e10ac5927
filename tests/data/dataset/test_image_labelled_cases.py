"""A case without a mask whose image label is known is a case."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hinterland.data.dataset.read import read_dataset
from hinterland.data.dataset.splits import fold
from hinterland.types import HinterlandError

LABELS = """
tree: {background: {}, lesion: {}}
schemes: {full: {0: background, 1: lesion}}
image_labels: labels.csv
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve pictures, three masks; image labels of all but the last."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for i in range(12):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "images" / f"i{i:02}.png")
        if i < 3:
            Image.fromarray(np.ones((8, 8), np.uint8)).save(tmp_path / "masks" / f"i{i:02}.png")
    rows = [f"i{i:02},{i % 2}" for i in range(11)]
    (tmp_path / "labels.csv").write_text("\n".join(["case,lesion", *rows]))
    (tmp_path / "labels.yaml").write_text(LABELS)
    return tmp_path


def listed(root: Path, names: list[str], val: list[str]) -> None:
    (root / "splits.json").write_text(json.dumps({"train": names, "val": val, "test": []}))


def test_splits_may_list_cases_without_a_mask(root: Path) -> None:
    names = [f"i{i:02}" for i in range(11)]
    listed(root, names[:8], names[8:])
    dataset = read_dataset(root)
    assert [c.name for c in dataset.val] == ["i08", "i09", "i10"]
    assert [c.labelled for c in dataset.train] == [True] * 3 + [False] * 6  # i11 too
    assert fold(dataset, "fixed").val == dataset.val


def test_a_listed_case_of_which_nothing_is_known_is_an_error(root: Path) -> None:
    listed(root, ["i00", "i01", "i11"], ["i02"])
    with pytest.raises(HinterlandError, match="i11"):
        read_dataset(root)


def test_without_splits_validation_comes_from_image_labels_too(root: Path) -> None:
    for seed in range(5):
        split = fold(read_dataset(root), "fixed", seed)
        assert len(split.val) == 2
        assert any(c.labelled for c in split.train)
        assert "i11" not in {c.name for c in split.val}  # nothing is known of it
