"""File formats from outside of the package: read by everything, written by predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hinterland.data.integrity.check import check_dataset
from hinterland.data.io.formats import (
    FORMATS,
    VolumeFormat,
    file_ending,
    label_ending,
    probability_ending,
    stem,
)
from hinterland.data.io.volume import (
    Volume,
    read_header,
    read_label,
    read_volume,
    write_label,
    write_probabilities,
)
from hinterland.types import HinterlandError


def read_archive(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path) as content:
        return content["array"], content["affine"]


def write_archive(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    np.savez(path, array=array, affine=affine)


@pytest.fixture
def archives(monkeypatch: pytest.MonkeyPatch) -> None:
    """`.vol.npz`, registered as another package would do it."""
    monkeypatch.setattr(FORMATS, "_entries", dict(FORMATS._entries))
    FORMATS.register("archive", VolumeFormat((".vol.npz",), read_archive, write_archive))


AFFINE = np.diag([0.5, 0.6, 2.0, 1.0])


@pytest.mark.usefixtures("archives")
def test_a_format_from_outside_is_read_and_written_like_our_own(tmp_path):
    path = tmp_path / "scan.vol.npz"
    array = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    write_archive(path, array, AFFINE)
    assert (file_ending(path), stem(path)) == (".vol.npz", "scan")
    assert label_ending(".vol.npz") == probability_ending(".vol.npz") == ".vol.npz"
    np.testing.assert_array_equal(read_volume(path).array, array)
    header = read_header(path)  # without a reader of its own for headers
    assert header.shape == (1, 2, 3, 4)
    assert header.spacing == (2.0, 0.6, 0.5)
    written = write_label(tmp_path / "mask.vol.npz", array[0] > 5, like=header)
    np.testing.assert_array_equal(read_label(written).array, array > 5)
    shares = write_probabilities(tmp_path / "p.vol.npz", np.stack([array[0]] * 2), like=header)
    assert read_volume(shares).array.shape == (2, 2, 3, 4)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "mask.vol.npz", "p.vol.npz", "scan.vol.npz"
    ]  # fmt: skip


@pytest.mark.usefixtures("archives")
def test_a_data_set_of_that_format_is_checked(tmp_path):
    rng = np.random.default_rng(0)
    for name in "abc":
        image = rng.normal(size=(1, 4, 8, 8)).astype(np.float32)
        for folder, array in (("images", image), ("masks", (image > 1).astype(np.uint8))):
            (tmp_path / folder).mkdir(exist_ok=True)
            write_archive(tmp_path / folder / f"{name}.vol.npz", array, AFFINE)
    report = check_dataset(tmp_path)
    assert (report.cases, report.errors) == (3, ())
    (tmp_path / "images" / "b.vol.npz").write_bytes(b"nothing of the kind")
    (error,) = check_dataset(tmp_path).errors
    assert (error.code, error.case) == ("unreadable", "b")


def test_a_format_with_impossible_suffixes_is_refused():
    with pytest.raises(HinterlandError, match="expected endings in lower case"):
        VolumeFormat(("NPZ",), read_archive, write_archive)
    with pytest.raises(HinterlandError, match=r"\[\]"):
        VolumeFormat((), read_archive, write_archive)


def test_the_longest_suffix_counts():
    assert file_ending("SCAN.NII.GZ") == ".nii.gz"
    assert file_ending("scan.gz") == ""


def test_a_volume_without_a_known_ending_names_those_there_are(tmp_path):
    volume = Volume(np.zeros((1, 1, 2, 2)), np.eye(4))
    with pytest.raises(HinterlandError, match=r"expected one of \['.nii.gz', '.nii', '.mha'"):
        write_label(tmp_path / "mask.dcm", np.zeros((1, 2, 2), int), like=volume)
