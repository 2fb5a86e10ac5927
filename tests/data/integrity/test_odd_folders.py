"""Folders as new users have them: one message that says how each becomes a data set."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import broken
import numpy as np
import pytest

from hinterland.data.integrity.check import check_dataset
from hinterland.data.integrity.problems import Findings

GREY = np.arange(72, dtype=np.uint8).reshape(8, 9)
MASK = (GREY > 40).astype(np.uint8)


def found(root: Path) -> Findings:
    root.mkdir(exist_ok=True)
    return check_dataset(root, workers=0)


def pairs(images: Path, masks: Path, suffix: str = "") -> None:
    for i in range(3):
        broken.picture(images / f"p{i}.png", np.roll(GREY, 7 * i, axis=1))
        broken.picture(masks / f"p{i}{suffix}.png", MASK)


def scans(root: Path) -> None:
    for name in ("sub-01", "sub-02"):
        broken.nifti(root / name / "anat" / f"{name}_T1w.nii.gz", broken.image_array(0))


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda r: None, "it holds nothing.*Give the folder that holds them"),
        (lambda r: pairs(r, r, "_mask"), r"Move the images into images/"),
        (lambda r: pairs(r / "Images", r / "Masks"), "Rename Images to images"),
        (
            lambda r: pairs(r / "train/images", r / "train/masks"),
            r"Take the folder below: .*/train",
        ),
        (
            lambda r: [pairs(r / f"{s}/images", r / f"{s}/masks") for s in ("train", "test")],
            r"look like data sets.*list in splits\.json",
        ),
        (lambda r: pairs(r / "benign", r / "malignant"), "hinterland classify start"),
        (scans, r"NAME_0000, NAME_0001"),
        (lambda r: (r / "set.zip").write_bytes(b"PK"), "Unpack the archive"),
        (lambda r: broken.nnunet(r / "Dataset001"), r"Take the folder below: .*Dataset001"),
    ],
)
def test_what_is_no_data_set_is_told_how_to_become_one(
    tmp_path: Path, make: Callable[[Path], object], advice: str
):
    root = tmp_path / "d"
    root.mkdir()
    make(root)
    (root / ".DS_Store").write_bytes(b"x")
    (problem,) = found(root).problems
    assert problem.code == "bad-dataset"
    assert ".DS_Store" not in problem.message
    assert re.search(advice, problem.message), problem.message


def test_a_file_is_not_called_missing(tmp_path: Path):
    file = tmp_path / "x.nii.gz"
    broken.nifti(file, broken.image_array(0))
    (problem,) = check_dataset(file, workers=0).problems
    assert "x.nii.gz is a file; expected the folder" in problem.message


def test_slices_of_dicom_are_one_warning_not_one_each(tmp_path: Path):
    pairs(tmp_path / "d/images", tmp_path / "d/masks")
    for i in range(3):
        (tmp_path / f"d/images/p{i}.png").unlink()
        (tmp_path / f"d/images/p{i}.dcm").write_bytes(b"DICM")
    shown = found(tmp_path / "d")
    assert [p.code for p in shown.problems] == ["no-cases", "extra-file"]
    assert "p0.dcm and 2 more like it are ignored" in shown.problems[1].message
    assert "dcm2niix" in shown.problems[1].message


def test_images_without_channel_numbers_are_told_so(tmp_path: Path):
    root = broken.nnunet(tmp_path / "d")
    for name in ("a1", "b1"):
        (root / f"imagesTr/{name}_0000.nii.gz").rename(root / f"imagesTr/{name}.nii.gz")
    (warning,) = found(root).warnings
    assert "a1.nii.gz and 1 more like it are ignored" in warning.message
    assert "Number the channel of each image, as in a1_0000.nii.gz" in warning.message


def test_masks_in_colour_are_named_as_the_reason(tmp_path: Path):
    pairs(tmp_path / "d/images", tmp_path / "d/masks")
    colours = np.dstack([MASK * 255, GREY, GREY])
    for i in range(3):
        broken.picture(tmp_path / f"d/masks/p{i}.png", colours)
    (problem,) = found(tmp_path / "d").problems
    assert "none of its masks can be read (the first: " in problem.message
    assert "p0.png has 3 channels (red, green, blue) that differ" in problem.message


def test_masks_with_names_of_their_own(tmp_path: Path):
    pairs(tmp_path / "d/images", tmp_path / "d/masks")
    for i in range(3):
        (tmp_path / f"d/masks/p{i}.png").rename(tmp_path / f"d/masks/seg{i}.png")
    shown = found(tmp_path / "d")
    assert "no mask belongs to an image" in shown.problems[0].message
    assert {p.code for p in shown.problems} == {"bad-labels", "label-without-image"}


def test_one_patient_cannot_be_held_out(tmp_path: Path):
    root = broken.plain(tmp_path / "d")
    assert "one-patient" not in {p.code for p in found(root).problems}
    for i in (1, 2, 3):
        (root / f"images/p{i}.png").unlink()
        (root / f"masks/p{i}.png").unlink()
    (note,) = found(root).problems
    assert (note.code, note.severity) == ("one-patient", "note")
    assert "`--fold all`" in note.message
