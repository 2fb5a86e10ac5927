"""`check_dataset`: every kind of broken data set has one clear message."""

from __future__ import annotations

import gzip
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import broken as make
import nibabel as nib
import numpy as np
import pytest

from hinterland.data.dataset.read import read_dataset
from hinterland.data.integrity import check as integrity
from hinterland.data.integrity.check import check_dataset
from hinterland.data.integrity.problems import Findings

DATA = Path(os.environ.get("HINTERLAND_DATA", Path(__file__).parents[4] / "shared/data"))

Breaker = Callable[[Path], None]
# name -> (layout, how to break it, severity, code, words of the message)
KINDS: dict[str, tuple[Callable[[Path], Path], Breaker, str, str, list[str]]] = {}


def kind(severity: str, code: str, *words: str, of: Callable[[Path], Path] = make.nnunet):
    """Register a way to break a data set, with the one message that is expected."""

    def register(breaker: Breaker) -> Breaker:
        KINDS[breaker.__name__] = (of, breaker, severity, code, list(words))
        return breaker

    return register


def shifted(**entries: float) -> np.ndarray:
    """The usual affine with some entries changed; keys like `e03`."""
    affine = make.AFFINE.copy()
    for key, value in entries.items():
        affine[int(key[1]), int(key[2])] = value
    return affine


# --- files


@kind("error", "missing-label", "splits.json", "train", "scheme: none")
def label_missing(root: Path) -> None:
    (root / "labelsTr/a1.nii.gz").unlink()


@kind("warning", "missing-label", "unlabelled", "scheme: none")
def label_missing_without_splits(root: Path) -> None:
    (root / "splits.json").unlink()
    (root / "labelsTr/a1.nii.gz").unlink()


@kind("error", "label-without-image", "ghost.nii.gz", "no image")
def image_missing(root: Path) -> None:
    make.nifti(root / "labelsTr/ghost.nii.gz", make.label_array())


@kind("error", "missing-channel", "1 (T2)", "expected 2 files")
def channel_missing(root: Path) -> None:
    (root / "imagesTr/a1_0001.nii.gz").unlink()


@kind("error", "extra-channel", "channel 2", "names 2")
def channel_extra(root: Path) -> None:
    make.nifti(root / "imagesTr/a1_0002.nii.gz", make.image_array(99))


@kind("warning", "extra-file", "notes.txt", "CASE_0000.nii.gz")
def file_extra(root: Path) -> None:
    (root / "imagesTr/notes.txt").write_text("hello")


@kind("warning", "case-count", "numTraining = 7", "4 cases")
def fewer_cases_than_promised(root: Path) -> None:
    make.edit_json(root / "dataset.json", numTraining=7)


@kind("error", "unreadable", "a1_0000.nii.gz", "cut off", "copy it again")
def image_truncated(root: Path) -> None:
    make.cut(root / "imagesTr/a1_0000.nii.gz")


@kind("error", "unreadable", "a1_0001.nii.gz", "damaged")
def image_with_a_flipped_byte(root: Path) -> None:
    path = root / "imagesTr/a1_0001.nii.gz"
    damaged = bytearray(path.read_bytes())
    damaged[-8] ^= 1  # in gzip's checksum: the voxels still unpack without complaint
    path.write_bytes(bytes(damaged))


@kind("error", "unreadable", "a1.nii.gz", "cut off")
def label_truncated(root: Path) -> None:
    make.cut(root / "labelsTr/a1.nii.gz")


@kind("error", "unreadable", "0 bytes")
def label_of_no_bytes(root: Path) -> None:
    (root / "labelsTr/b1.nii.gz").write_bytes(b"")


@kind("error", "unreadable", "not a .nii.gz file")
def image_is_text(root: Path) -> None:
    (root / "imagesTr/b1_0001.nii.gz").write_text("<html>404</html>")


@kind("error", "unreadable", "p1.png", "cut off", of=make.plain)
def picture_truncated(root: Path) -> None:
    make.cut(root / "images/p1.png")


@kind("error", "unreadable", "masks/p1.png", "cut off", of=make.plain)
def mask_truncated(root: Path) -> None:
    make.cut(root / "masks/p1.png")


@kind("error", "same-name", "imagesTr and imagesTs", "Rename")
def name_in_both_folders(root: Path) -> None:
    for channel in (0, 1):
        make.nifti(root / f"imagesTs/a1_000{channel}.nii.gz", make.image_array(70 + channel))
    make.nifti(root / "labelsTs/a1.nii.gz", make.label_array())


@kind("error", "same-name", "p1", of=make.plain)
def name_with_two_endings(root: Path) -> None:
    make.picture(root / "images/p1.bmp", np.arange(72, dtype=np.uint8).reshape(8, 9))


# --- geometry


@kind("error", "shape-mismatch", "the label a1.nii.gz", "(6, 8, 9)", "(5, 8, 9)", "Resample")
def label_of_another_shape(root: Path) -> None:
    make.nifti(root / "labelsTr/a1.nii.gz", make.label_array()[..., :5])


@kind("error", "shape-mismatch", "a1_0001.nii.gz", "a1_0000.nii.gz")
def channel_of_another_shape(root: Path) -> None:
    make.nifti(root / "imagesTr/a1_0001.nii.gz", make.image_array(1)[:, :7])


@kind("error", "spacing-mismatch", "(2, 0.8, 1)", "(2, 0.8, 0.8)", "copy the header")
def label_of_another_spacing(root: Path) -> None:
    make.nifti(root / "labelsTr/a1.nii.gz", make.label_array(), shifted(e00=1.0))


@kind("error", "origin-mismatch", "(5, 0, 0)", "(0, 0, 0)")
def label_of_another_origin(root: Path) -> None:
    make.nifti(root / "labelsTr/a1.nii.gz", make.label_array(), shifted(e03=5.0))


@kind("error", "direction-mismatch", "(-1, 0, 0, 0, 1")
def label_of_another_direction(root: Path) -> None:
    make.nifti(root / "labelsTr/a1.nii.gz", make.label_array(), shifted(e00=-0.8))


@kind("note", "geometry-noise", "rounding", "origin")
def label_shifted_by_rounding(root: Path) -> None:
    make.nifti(root / "labelsTr/a1.nii.gz", make.label_array(), shifted(e03=2e-5))


@kind("error", "bad-geometry", "spacing", "Correct the header")
def spacing_of_zero(root: Path) -> None:
    path = root / "imagesTr/a1_0001.nii.gz"
    image = nib.Nifti1Image(make.image_array(1), make.AFFINE)
    image.header["srow_x"] = 0
    image.header["vox_offset"] = 352
    with gzip.open(path, "wb") as file:  # nibabel's own writer would mend the header
        file.write(image.header.binaryblock + bytes(4) + make.image_array(1).tobytes("F"))


@kind("error", "zero-size", "no voxel")
def image_of_no_voxels(root: Path) -> None:
    make.nifti(root / "imagesTr/a1_0001.nii.gz", make.image_array(1)[:0])


# --- intensities


@kind("error", "not-finite", "3 voxel(s) of NaN", "a1_0001")
def image_with_nan(root: Path) -> None:
    array = make.image_array(1)
    array[0, 0, :3] = np.nan
    make.nifti(root / "imagesTr/a1_0001.nii.gz", array)


@kind("error", "not-finite", "1 voxel(s)", "infinity")
def image_with_infinity(root: Path) -> None:
    array = make.image_array(1)
    array[4, 4, 4] = np.inf
    make.nifti(root / "imagesTr/a1_0000.nii.gz", array)


@kind("warning", "constant-image", "every voxel", "7.0")
def image_constant(root: Path) -> None:
    make.nifti(root / "imagesTr/a1_0001.nii.gz", np.full(make.SHAPE, 7, np.float32))


@kind("error", "channel-count", "3 channel(s)", "has 2")
def image_with_a_fourth_axis(root: Path) -> None:
    stacked = np.stack([make.image_array(60), make.image_array(61)], axis=-1)
    make.nifti(root / "imagesTr/a1_0001.nii.gz", stacked)


@kind("error", "channel-count", "3 channel(s)", "has 1", "grey images among RGB", of=make.plain)
def colour_picture_among_grey_ones(root: Path) -> None:
    rng = np.random.default_rng(5)
    make.picture(root / "images/p1.png", rng.integers(0, 255, (8, 9, 3), dtype=np.uint8))


# --- label values


@kind("error", "unknown-value", "9 (2 voxels)", "[0, 1, 2]", "labels.yaml")
def label_value_unknown(root: Path) -> None:
    label = make.label_array()
    label[0, 0, :2] = 9
    make.nifti(root / "labelsTr/a1.nii.gz", label)


@kind("error", "unknown-value", "255", "[0, 1]", of=make.plain)
def mask_of_255_under_labels_yaml(root: Path) -> None:
    (root / "labels.yaml").write_text(
        "tree: {background: {}, lesion: {}}\nschemes: {full: {0: background, 1: lesion}}"
    )
    mask = np.zeros((8, 9), np.uint8)
    mask[2:5, 3:6] = 255
    make.picture(root / "masks/p1.png", mask)


@kind("error", "label-not-integer", "no integers", "0.5", "nearest neighbour")
def label_interpolated(root: Path) -> None:
    label = make.label_array().astype(np.float32)
    label[1, 1, 1] = 0.5
    make.nifti(root / "labelsTr/a1.nii.gz", label)


@kind("error", "label-not-finite", "NaN", "expected integers")
def label_with_nan(root: Path) -> None:
    label = make.label_array().astype(np.float32)
    label[1, 1, 1] = np.nan
    make.nifti(root / "labelsTr/a1.nii.gz", label)


@kind("error", "label-channels", "2 channels", "index mask")
def label_with_channels(root: Path) -> None:
    label = make.label_array()
    make.nifti(root / "labelsTr/a1.nii.gz", np.stack([label, label > 0], axis=-1).astype(np.uint8))


@kind("error", "label-channels", "3 channels (red, green, blue)", "index mask", of=make.plain)
def mask_in_colour(root: Path) -> None:
    mask = np.zeros((8, 9, 3), np.uint8)
    mask[2:5, 3:6] = (255, 0, 0)
    make.picture(root / "masks/p1.png", mask)


@kind("note", "empty-label", "nothing but background")
def label_empty(root: Path) -> None:
    make.nifti(root / "labelsTr/a1.nii.gz", np.zeros(make.SHAPE, np.uint8))


@kind("note", "value-never-used", "[3]", "never seen")
def class_that_nobody_has(root: Path) -> None:
    make.edit_json(
        root / "dataset.json", labels={"background": 0, "organ": 1, "lesion": 2, "cyst": 3}
    )


@kind("error", "image-label-contradicts", "'lesion' is absent", "holds it")
def image_label_against_the_mask(root: Path) -> None:
    (root / "labels.yaml").write_text(make.LABELS_YAML + "image_labels: labels.csv\n")
    (root / "labels.csv").write_text("case,lesion,site\na1,0,north\na2,1,south\n")


@kind("error", "bad-image-labels", "'a1' has 'yes'", "1 (present)")
def image_label_of_no_meaning(root: Path) -> None:
    (root / "labels.yaml").write_text(make.LABELS_YAML + "image_labels: labels.csv\n")
    (root / "labels.csv").write_text("case,lesion\na1,yes\n")


@kind("warning", "image-labels-unknown-case", "z9", "first column")
def image_label_of_nobody(root: Path) -> None:
    (root / "labels.yaml").write_text(make.LABELS_YAML + "image_labels: labels.csv\n")
    (root / "labels.csv").write_text("case,lesion\na1,1\nz9,1\n")


@kind("error", "bad-labels", "3 different values (0 to 250)", "JPEG", "at 125", of=make.plain)
def masks_as_jpeg(root: Path) -> None:
    mask = np.zeros((8, 9), np.uint8)
    mask[2:5, 3:6] = 250
    mask[2, 3] = 200
    for i in range(4):
        (root / f"masks/p{i}.png").unlink()
        make.picture(root / f"masks/p{i}.bmp", mask)
        (root / f"masks/p{i}.bmp").rename(root / f"masks/p{i}.jpg")  # no new grey levels by chance


@kind("error", "bad-labels", "16 different values (0 to 15)", "at 8", of=make.plain)
def masks_smoothed(root: Path) -> None:
    """Every level between the two plateaus lies along the edge alone."""
    ramp = np.clip(np.arange(-4, 32)[None] * np.ones((8, 1)), 0, 15).astype(np.uint8)
    for i in range(4):
        rng = np.random.default_rng(i)
        make.picture(root / f"images/p{i}.png", rng.integers(0, 255, ramp.shape, dtype=np.uint8))
        make.picture(root / f"masks/p{i}.png", ramp)


@kind("error", "unknown-value", "JPEG has blurred", "threshold", "at 1", of=make.plain)
def mask_as_jpeg_under_labels_yaml(root: Path) -> None:
    (root / "labels.yaml").write_text(
        "tree: {background: {}, lesion: {}}\nschemes: {full: {0: background, 1: lesion}}"
    )
    mask = np.zeros((8, 9), np.uint8)
    mask[2:5, 3:6] = 1
    mask[2, 3] = 2
    make.picture(root / "masks/p1.bmp", mask)
    (root / "masks/p1.png").unlink()
    (root / "masks/p1.bmp").rename(root / "masks/p1.jpg")


@kind("error", "unknown-value", "-1", "as another number (such as 255)", "255: any")
def label_ignores_by_minus_one(root: Path) -> None:
    label = make.label_array().astype(np.int16)
    label[0, 0, :2] = -1
    make.nifti(root / "labelsTr/a1.nii.gz", label)


@kind("error", "several-masks", "p1_mask.png", "p1_mask_1.png", "Unite", of=make.plain)
def picture_with_two_masks(root: Path) -> None:
    shutil.copy(root / "masks/p1.png", root / "masks/p1_mask_1.png")
    (root / "masks/p1.png").rename(root / "masks/p1_mask.png")


@kind("error", "not-fetched", "Git LFS", "git lfs pull")
def image_is_a_pointer(root: Path) -> None:
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 12\n"
    (root / "imagesTr/a1_0000.nii.gz").write_text(text)


@kind("error", "missing-file", "is a link to", "git annex get")
def image_is_a_dangling_link(root: Path) -> None:
    (root / "imagesTr/a1_0000.nii.gz").unlink()
    (root / "imagesTr/a1_0000.nii.gz").symlink_to("../.git/annex/objects/a1")


@kind("error", "voxel-type", "colours (RGB)", "channels")
def image_of_rgb_voxels(root: Path) -> None:
    rgb = np.zeros(make.SHAPE, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    make.nifti(root / "imagesTr/a1_0000.nii.gz", rgb)


@kind("error", "voxel-type", "complex numbers", "magnitude")
def image_of_complex_voxels(root: Path) -> None:
    make.nifti(root / "imagesTr/a1_0000.nii.gz", make.image_array(1).astype(np.complex64))


@kind("error", "unreadable", "1,000,000,000,000 voxels", "bytes can hold")
def image_that_promises_too_much(root: Path) -> None:
    header = nib.Nifti1Image(make.image_array(1), make.AFFINE).header
    header["dim"][1:4] = 10_000
    header["vox_offset"] = 352
    with gzip.open(root / "imagesTr/a1_0000.nii.gz", "wb") as file:
        file.write(header.binaryblock + bytes(4) + make.image_array(1).tobytes("F"))


@kind("note", "axes-differ", "a1_0001.nii.gz", "it is turned when it is read")
def channel_stored_flipped(root: Path) -> None:
    flipped = shifted(e00=-0.8, e03=0.8 * (make.SHAPE[0] - 1))
    make.nifti(root / "imagesTr/a1_0001.nii.gz", make.image_array(1)[::-1], flipped)


@kind("note", "axes-differ", "the label a1.nii.gz", "as its header")
def label_stored_flipped(root: Path) -> None:
    flipped = shifted(e11=-0.8, e13=0.8 * (make.SHAPE[1] - 1))
    make.nifti(root / "labelsTr/a1.nii.gz", make.label_array()[:, ::-1], flipped)


@kind("error", "bad-image-labels", "not in UTF-8", "CSV UTF-8")
def image_labels_of_another_encoding(root: Path) -> None:
    (root / "labels.yaml").write_text(make.LABELS_YAML + "image_labels: labels.csv\n")
    (root / "labels.csv").write_bytes("case,lesion,Gerät\na1,1,x\n".encode("cp1252"))


@kind("error", "bad-image-labels", "spreadsheet", "CSV")
def image_labels_in_a_spreadsheet(root: Path) -> None:
    (root / "labels.yaml").write_text(make.LABELS_YAML + "image_labels: labels.xlsx\n")
    (root / "labels.xlsx").write_bytes(b"PK")


@kind("error", "bad-labels", "'../../labels.csv'", "leaves the folder")
def image_labels_outside_of_the_folder(root: Path) -> None:
    (root / "labels.yaml").write_text(make.LABELS_YAML + "image_labels: ../../labels.csv\n")


# --- cases and splits


def copy_case(root: Path, source: str, target: str) -> None:
    folder = {"t": "Ts"}
    for channel in (0, 1):
        shutil.copy(
            root / f"images{folder.get(source[0], 'Tr')}/{source}_000{channel}.nii.gz",
            root / f"images{folder.get(target[0], 'Tr')}/{target}_000{channel}.nii.gz",
        )


@kind("warning", "duplicate-case", "a1", "c1", "same image", "group")
def case_twice_in_train(root: Path) -> None:
    copy_case(root, "a1", "c1")


@kind("error", "same-image-across-splits", "b1 (train)", "t1 (test)")
def case_in_train_and_test(root: Path) -> None:
    copy_case(root, "b1", "t1")


@kind("error", "group-divided", "'patient7'", "train (a1)", "test (t1)")
def patient_in_train_and_test(root: Path) -> None:
    settings = "cases: {a1: {group: patient7}, t1: {group: patient7}}\n"
    (root / "labels.yaml").write_text(make.LABELS_YAML + settings)


@kind("error", "splits-unknown-case", "nobody", "without ending")
def split_names_nobody(root: Path) -> None:
    make.edit_json(root / "splits.json", train=["b1", "a1", "a2", "c1", "nobody"])


@kind("error", "split-twice", "train", "again in test")
def split_names_a_case_twice(root: Path) -> None:
    make.edit_json(root / "splits.json", test=["t1", "b1"])


@kind("error", "bad-splits", "no list `train`")
def split_without_train(root: Path) -> None:
    make.edit_json(root / "splits.json", train=None)


@kind("error", "bad-splits", "not valid JSON", "line 1")
def split_file_damaged(root: Path) -> None:
    make.cut(root / "splits.json")


@kind("warning", "not-in-splits", "does not list")
def split_forgets_a_case(root: Path) -> None:
    make.edit_json(root / "splits.json", train=["b1", "a1", "a2"])


# --- dataset.json and labels.yaml


@kind("error", "bad-dataset", "dataset.json", "not valid JSON")
def dataset_json_damaged(root: Path) -> None:
    make.cut(root / "dataset.json")


@kind("error", "bad-dataset", "no key 'file_ending'")
def dataset_json_without_ending(root: Path) -> None:
    make.edit_json(root / "dataset.json", file_ending=None)


@kind("error", "bad-dataset", "channel_names", "without gaps")
def dataset_json_with_a_gap(root: Path) -> None:
    make.edit_json(root / "dataset.json", channel_names={"0": "T1", "2": "T2"})


@kind("error", "bad-dataset", "dataset.json is missing")
def dataset_json_missing(root: Path) -> None:
    (root / "dataset.json").unlink()


@kind("error", "bad-labels", "dataset.json", "lesion")
def dataset_json_with_a_label_in_words(root: Path) -> None:
    labels = {"background": 0, "organ": 1, "lesion": "two"}
    make.edit_json(root / "dataset.json", labels=labels)


@kind("error", "bad-dataset", "is not a data set", "imagesTr")
def folder_of_something_else(root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()
    (root / "thesis.docx").write_text("")


@kind("error", "no-cases", "holds no case", of=make.plain)
def folder_without_images(root: Path) -> None:
    shutil.rmtree(root / "images")
    shutil.rmtree(root / "masks")
    (root / "images").mkdir()


@kind("error", "bad-labels", "labels.yaml", "liver", "not in the label tree")
def labels_yaml_with_a_strange_name(root: Path) -> None:
    text = make.LABELS_YAML.replace("1: organ", "1: liver")
    (root / "labels.yaml").write_text(text)


@kind("error", "bad-labels", "labels.yaml", "not readable YAML")
def labels_yaml_damaged(root: Path) -> None:
    (root / "labels.yaml").write_text("tree: {a: [")


@kind("error", "bad-labels", "group_pattern", "does not match")
def labels_yaml_with_a_wrong_pattern(root: Path) -> None:
    (root / "labels.yaml").write_text(make.LABELS_YAML + 'group_pattern: "(patient[0-9]+)"\n')


@kind("warning", "labels-unknown-case", "'vol*'", "matches no case")
def labels_yaml_for_nobody(root: Path) -> None:
    (root / "labels.yaml").write_text(make.LABELS_YAML + "cases: {vol*: {domain: hospital_b}}\n")


@kind("error", "bad-labels", "grey levels", "Threshold", of=make.plain)
def masks_of_grey_levels(root: Path) -> None:
    mask = np.arange(72, dtype=np.uint8).reshape(8, 9) * 3
    make.picture(root / "masks/p1.png", mask)


@kind("error", "bad-labels", "0, 1, 255", "labels.yaml", of=make.plain)
def masks_with_an_ambiguous_255(root: Path) -> None:
    mask = np.zeros((8, 9), np.uint8)
    mask[2:5, 3:6] = 255
    make.picture(root / "masks/p1.png", mask)


@kind("error", "bad-labels", "nothing but 0", "labels.yaml", of=make.plain)
def masks_all_empty(root: Path) -> None:
    for i in range(4):
        make.picture(root / f"masks/p{i}.png", np.zeros((8, 9), np.uint8))


@pytest.mark.parametrize("name", KINDS)
def test_broken_data_set_gives_its_one_message(name: str, tmp_path: Path) -> None:
    layout, breaker, severity, code, words = KINDS[name]
    root = layout(tmp_path / "set")
    breaker(root)
    report = check_dataset(root, workers=0)
    assert [(p.severity, p.code) for p in report.problems] == [(severity, code)], str(report)
    problem = report.problems[0]
    for word in words:
        assert word in f"{problem.case}: {problem.message}"
    assert "Traceback" not in str(report)
    assert len(problem.message) < 600


def test_there_are_at_least_twenty_kinds() -> None:
    assert len(KINDS) >= 20
    assert len({code for *_, code, _ in KINDS.values()}) >= 20


@pytest.mark.parametrize("layout", [make.nnunet, make.plain])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_healthy_data_set_gives_no_message(
    layout: Callable[[Path], Path], workers: int, tmp_path: Path
) -> None:
    report = check_dataset(layout(tmp_path / "set"), workers=workers)
    assert report.problems == ()
    assert report.ok
    assert report.cases in (4, 5)


def test_all_problems_come_in_one_pass(tmp_path: Path) -> None:
    root = make.nnunet(tmp_path / "set")
    breakers = [label_value_unknown, image_is_text, case_in_train_and_test, file_extra]
    for breaker in (split_names_nobody, *breakers):
        if breaker is case_in_train_and_test:
            copy_case(root, "c1", "t1")  # b1 is broken already
        else:
            breaker(root)
    calls: list[tuple[int, int]] = []
    report = check_dataset(root, progress=lambda done, total: calls.append((done, total)))
    assert {p.code for p in report.problems} == {
        "unknown-value", "unreadable", "same-image-across-splits", "extra-file",
        "splits-unknown-case",
    }  # fmt: skip
    assert len(report.errors) == 4
    assert len(report.warnings) == 1
    assert calls[-1] == (5, 5)
    assert report.to_dict()["errors"] == 4
    assert len(report.to_dict()["problems"]) == 5


def test_labels_yaml_outside_the_data_set(tmp_path: Path) -> None:
    root = make.plain(tmp_path / "set", foreground=255)
    assert check_dataset(root).ok  # 0 and 255 are background and foreground
    outside = tmp_path / "labels.yaml"
    outside.write_text(
        "tree: {background: {}, cyst: {}}\nschemes: {full: {0: background, 255: cyst}}"
    )
    assert check_dataset(root, outside).problems == ()
    missing = check_dataset(root, tmp_path / "nowhere.yaml")
    assert [p.code for p in missing.problems] == ["bad-labels"]
    assert "no such file" in missing.problems[0].message


def _kill_on_a1(task: integrity.CaseTask) -> integrity.CaseFacts:
    if task.case.name == "a1":
        os.kill(os.getpid(), signal.SIGKILL)  # as the system does when memory runs out
    return integrity.CaseFacts(task.case.name)


def test_a_killed_worker_is_an_error_of_its_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integrity, "check_case", _kill_on_a1)
    report = check_dataset(make.nnunet(tmp_path / "set"), workers=2)
    assert [(p.code, p.case) for p in report.problems] == [("worker-died", "a1")]
    assert "memory" in report.problems[0].message
    assert report.cases == 5


def test_memory_error_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hinterland.data.integrity import case as integrity_case

    def full(path: Path) -> None:
        raise MemoryError

    monkeypatch.setattr(integrity_case, "read_volume", full)
    report = check_dataset(make.plain(tmp_path / "set"), workers=0)
    assert {p.code for p in report.errors} == {"memory"}
    assert len(report.errors) == 4


def test_a_long_list_of_notes_is_shortened_but_errors_are_not(tmp_path: Path) -> None:
    from hinterland.data.integrity.problems import Problem

    notes = [Problem("note", "empty-label", f"c{i}", "empty") for i in range(9)]
    errors = [Problem("error", "unreadable", f"e{i}", "broken") for i in range(9)]
    text = str(Findings.of([*notes, *errors], cases=18))
    assert text.count("broken") == 9
    assert text.count("c") > 0
    assert "and 4 more of this kind" in text
    assert text.splitlines()[-1] == "18 cases checked: 9 errors, 0 warnings, 9 notes"


# --- the real data sets

REAL = [
    "BUSI", "Dataset004_Hippocampus", "Dataset027_ACDC", "Dataset101_LA_half",
    "Dataset115_COVID19CT", "Dataset116_MyoPS", "MoNuSeg", "STU",
]  # fmt: skip
KNOWN_COPIES = {
    "BUSI": {frozenset({"benign_433", "malignant_145"})},
    "Dataset027_ACDC": {
        frozenset({"patient074_frame01", "patient076_frame01"}),
        frozenset({"patient074_frame02", "patient076_frame02"}),
    },
}


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
def test_real_data_set(name: str) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"{DATA / name} is not there")
    report = check_dataset(DATA / name)
    assert report.errors == (), str(report)
    copies = {
        frozenset(p.message.split(" are ")[0].split(", "))
        for p in report.warnings
        if p.code == "duplicate-case"
    }
    assert copies == KNOWN_COPIES.get(name, set())
    near = [p for p in report.warnings if p.code == "near-duplicate-across-splits"]
    assert (len(near) > 50) == (name == "BUSI")  # whose near-duplicates are known
    assert len(near) == 0 or name == "BUSI"
    assert len(report.warnings) == len(copies) + len(near)
    empty = [p for p in report.notes if p.code == "empty-label"]
    assert len(empty) == (133 if name == "BUSI" else 0)  # its normal images have no lesion


def test_masks_of_a_format_that_is_not_read_are_named(tmp_path: Path) -> None:
    root = make.plain(tmp_path / "set")
    (root / "labels.yaml").write_text(
        "tree: {background: {}, lesion: {}}\nschemes: {full: {0: background, 1: lesion}}"
    )
    for path in sorted((root / "masks").iterdir()):
        path.rename(path.with_suffix(".gif"))
    report = check_dataset(root, workers=0)
    assert [p.code for p in report.errors] == ["no-labels"]
    ignored = [p.message for p in report.warnings if p.code == "extra-file"]
    (shown,) = ignored  # one for all four
    assert "p0.gif and 3 more like it are ignored" in shown
    assert "Convert it to PNG" in shown
    assert "rename" not in shown


@pytest.mark.parametrize("suffix", ["_mask", "_segmentation", "_lesion", "_manual1", "_mask_1"])
def test_names_that_masks_may_have(suffix: str, tmp_path: Path) -> None:
    root = make.plain(tmp_path / "set")
    for path in sorted((root / "masks").iterdir()):
        path.rename(path.with_name(path.stem + suffix + path.suffix))
    assert check_dataset(root, workers=0).problems == ()
    (root / "masks/p1_strange.png").write_bytes((root / f"masks/p1{suffix}.png").read_bytes())
    (error,) = check_dataset(root, workers=0).errors
    assert "with _mask, _seg, _segmentation, _label, _lesion, _manual1, _mask_1" in error.message


@pytest.mark.parametrize("values", [(0, 1, 255), (1, 2), (3, 7), (0, 2, 255), (1, 2, 3)])
def test_the_labels_yaml_that_is_proposed_passes(values: tuple[int, ...], tmp_path: Path) -> None:
    root = make.plain(tmp_path / "set")
    for i in range(4):
        mask = np.full((12, 12), values[0], np.uint8)
        for n, value in enumerate(values[1:]):
            mask[1:5, 1 + 5 * n : 5 + 5 * n] = value
        image = np.random.default_rng(i).integers(0, 255, mask.shape, dtype=np.uint8)
        make.picture(root / f"images/p{i}.png", image)
        make.picture(root / f"masks/p{i}.png", mask)
    (problem,) = check_dataset(root, workers=0).problems
    assert problem.code == "bad-labels"
    proposed = problem.message[problem.message.index("tree:") :]
    (root / "labels.yaml").write_text(proposed)
    assert check_dataset(root, workers=0).problems == ()


def test_a_class_that_another_scheme_shows_is_used(tmp_path: Path) -> None:
    root = make.nnunet(tmp_path / "set")
    (root / "labels.yaml").write_text(
        make.LABELS_YAML.replace(
            "schemes: {full:", "schemes: {coarse: {0: background, 2: lesion}, full:"
        )
        + "cases: {a1: {scheme: coarse}}\n"
    )
    label = make.label_array()
    make.nifti(root / "labelsTr/a1.nii.gz", np.where(label == 2, 0, 0).astype(np.uint8))
    codes = [p.code for p in check_dataset(root, workers=0).problems]
    assert codes == ["empty-label"]  # lesions are learnt from the scheme `full`


def test_image_labels_as_spreadsheets_write_them(tmp_path: Path) -> None:
    root = make.nnunet(tmp_path / "set")
    (root / "labels.yaml").write_text(make.LABELS_YAML + "image_labels: labels.csv\n")
    (root / "labels.csv").write_text("\ufeffcase;lesion;site\na1.nii.gz;1;north\nb1;1;south\n")
    assert check_dataset(root, workers=0).problems == ()
    assert read_dataset(root)["a1"].image_labels == {"lesion": 1, "site": "north"}
