"""New images held against a plan and the training set it was made from."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import broken as make
import numpy as np
import pytest
from factories import plan_of

from hinterland.data.dataset.images import read_images
from hinterland.data.dataset.read import read_dataset
from hinterland.data.integrity.images import Expected, check_images
from hinterland.data.planning.fingerprint import Fingerprint, fingerprint, stored_fingerprint
from hinterland.types import Normalisation

INFINITE = np.where(np.eye(3, 4) > 0, np.inf, 0)
CT = Normalisation("ct", -900, 300, -300, 250)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Fingerprint:
    """Two channels of normal noise around 100, voxels of 2 x 0.8 x 0.8 mm, axes RAS."""
    root = make.nnunet(tmp_path_factory.mktemp("trained") / "set")
    return fingerprint(read_dataset(root), workers=0)


def expected(trained: Fingerprint | None, **changes) -> Expected:
    values = {"spacing": (2.0, 0.8, 0.8), "normalisation": (CT, Normalisation("zscore"))} | changes
    return Expected(plan_of((4, 8, 8), channels=("CT", "T2"), **values), trained)


def found(folder: Path, against: Expected) -> list[tuple[str, str]]:
    report = check_images(read_images(folder, 2), against, workers=0)
    return [(p.severity, p.code) for p in report.problems]


def scan(folder: Path, affine=make.AFFINE, change=lambda a: a) -> Path:
    for channel in (0, 1):
        array = change(make.image_array(50 + channel))
        make.nifti(folder / f"new_000{channel}.nii.gz", array.astype(np.float32), affine)
    return folder


def test_an_image_like_those_of_training_passes(tmp_path, trained):
    assert trained.orientations == ("RAS",)
    assert found(scan(tmp_path), expected(trained)) == []


def test_intensities_of_another_scale(tmp_path, trained):
    """A window of 0..1 instead of the units of training, which the plan counts on for CT."""
    scan(tmp_path, change=lambda a: a / 1000)
    codes = [("warning", "intensities-unlike"), ("note", "intensities-unlike")]
    assert found(tmp_path, expected(trained)) == codes


def test_axes_that_no_training_scan_had(tmp_path, trained):
    scan(tmp_path, affine=make.AFFINE[:, [2, 1, 0, 3]])
    assert ("warning", "axes-unlike") in found(tmp_path, expected(trained))


def test_voxels_much_coarser_than_the_plans(tmp_path, trained):
    scan(tmp_path, affine=make.AFFINE @ np.diag([1, 1, 4, 1]))
    assert found(tmp_path, expected(trained)) == [("warning", "spacing-unlike")]
    assert found(tmp_path, expected(trained, spacing=(None, 0.8, 0.8))) == []
    assert found(tmp_path, expected(trained, unit="voxel")) == []


def test_a_single_slice_for_a_model_of_volumes(tmp_path, trained):
    scan(tmp_path, change=lambda a: a[..., :1])
    assert found(tmp_path, expected(trained)) == [("error", "single-slice")]


def test_what_is_broken_is_an_error(tmp_path, trained):
    scan(tmp_path, change=lambda a: np.where(a > a.max() - 1, np.nan, a))
    assert found(tmp_path, expected(trained)) == [("error", "not-finite")] * 2


def test_without_the_measurements_that_is_said(tmp_path):
    assert found(scan(tmp_path), expected(None)) == [("note", "no-fingerprint")]


def test_fingerprints_are_found_by_their_hash(tmp_path, trained):
    (tmp_path / "fingerprint.json").write_text(trained.to_json())
    assert stored_fingerprint(trained.hash, [tmp_path / "nowhere", tmp_path]) == trained
    assert stored_fingerprint("0" * 16, [tmp_path]) is None


@pytest.mark.parametrize("voxels", [True, False])
@pytest.mark.parametrize("spoil", [np.zeros((3, 4)), np.full((3, 4), np.nan), INFINITE])
def test_no_usable_place_is_an_error_with_and_without_voxels(tmp_path, trained, voxels, spoil):
    scan(tmp_path)
    for file in tmp_path.glob("*.nii.gz"):
        content = bytearray(gzip.decompress(file.read_bytes()))
        struct.pack_into("<12f", content, 280, *spoil.ravel())  # sform
        file.write_bytes(gzip.compress(bytes(content)))
    cases = read_images(tmp_path, 2)
    report = check_images(cases, expected(trained), voxels=voxels, workers=0)
    assert {(p.severity, p.code) for p in report.problems} == {("error", "bad-geometry")}
