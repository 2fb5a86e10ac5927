"""Confusion inside superclasses, by hand."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from factories import spec_of

from hinterland.report.confusion import (
    OUTSIDE,
    confusion_matrices,
    subclass_confusion,
    superclasses,
)

SPEC = spec_of(
    {"rest": {}, "heart": {"LV": {}, "muscle": {"normal": {}, "scar": {}}}},
    schemes={
        "full": {0: "rest", 1: "LV", 2: "normal", 3: "scar"},
        "parts": {0: "rest", 1: "LV", 2: "muscle"},
    },
    cases={"b": {"scheme": "parts"}},
)


def write(folder: Path, name: str, values: list[int]) -> None:
    folder.mkdir(exist_ok=True)
    array = np.array(values, dtype=np.uint8).reshape(-1, 1, 1)
    nib.save(nib.Nifti1Image(array, np.eye(4)), folder / f"{name}.nii.gz")


def test_superclasses_that_a_question_divides():
    assert list(superclasses(SPEC.tree.leaves)) == ["heart", "muscle"]
    assert list(superclasses(SPEC.tree.coarsen("LV", "muscle"))) == ["heart"]
    assert superclasses(SPEC.tree.top) == {}
    leaves = superclasses(SPEC.tree.leaves)
    assert leaves["heart"] == {"LV": [1], "muscle": [2, 3]}


def test_counts_and_shares_by_hand(tmp_path):
    """Case b knows the muscle only as a whole: that voxel is undecided and counts nowhere."""
    write(tmp_path / "p", "a", [0, 1, 1, 2, 3, 3, 0, 2])
    write(tmp_path / "r", "a", [0, 1, 2, 2, 2, 3, 3, 0])
    write(tmp_path / "p", "b", [1, 1, 2, 0, 2])
    write(tmp_path / "r", "b", [1, 1, 1, 0, 2])
    table = subclass_confusion(tmp_path / "p", tmp_path / "r", spec=SPEC)
    voxels = table.set_index(["case", "superclass", "reference", "predicted"])["voxels"]
    assert voxels["a", "heart", "LV", "LV"] == 1
    assert voxels["a", "heart", "muscle"].to_dict() == {"LV": 1, "muscle": 3, OUTSIDE: 1}
    assert voxels["a", "muscle", "normal"].to_dict() == {"normal": 1, "scar": 1, OUTSIDE: 1}
    assert voxels["a", "muscle", "scar"].to_dict() == {"normal": 0, "scar": 1, OUTSIDE: 1}
    assert voxels["b", "heart", "LV"].to_dict() == {"LV": 2, "muscle": 1, OUTSIDE: 0}
    heart, muscle = (confusion_matrices(table)[n] for n in ("heart", "muscle"))
    assert heart.loc["LV"].to_list() == pytest.approx([(1 + 2 / 3) / 2, 1 / 6, 0])
    assert heart.loc["muscle"].to_list() == pytest.approx([0.2, 0.6, 0.2])
    assert muscle.loc["normal"].to_list() == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    assert np.allclose(heart.sum(axis=1), 1)
    assert list(muscle.columns) == ["normal", "scar", OUTSIDE]


def test_a_class_called_outside_is_not_what_lies_outside(tmp_path):
    spec = spec_of({"rest": {}, "wall": {"inside": {}, "outside": {}}})
    write(tmp_path / "r", "a", [0, 1, 1, 1, 2])
    write(tmp_path / "p", "a", [0, 1, 2, 0, 2])
    table = subclass_confusion(tmp_path / "p", tmp_path / "r", spec=spec)
    row = table[table["reference"] == "inside"].set_index("predicted")["voxels"]
    assert row.to_dict() == {"inside": 1, "outside": 1, "(outside)": 1}


def test_a_flat_tree_has_no_superclasses(tmp_path):
    flat = spec_of({"a": {}, "b": {}})
    write(tmp_path / "p", "x", [0, 1])
    write(tmp_path / "r", "x", [0, 1])
    table = subclass_confusion(tmp_path / "p", tmp_path / "r", spec=flat)
    assert table.empty
    assert confusion_matrices(table) == {}
