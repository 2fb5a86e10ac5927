"""Which files of a folder, or of those given, are the channels of which case."""

from __future__ import annotations

from pathlib import Path

import broken as make
import numpy as np
import pytest
from PIL import Image

from hinterland.data.dataset.images import read_images
from hinterland.types import HinterlandError


def test_images_to_predict(tmp_path: Path) -> None:
    root = make.nnunet(tmp_path / "set")
    cases = read_images(root / "imagesTr", channels=2)
    assert [c.name for c in cases] == ["a1", "a2", "b1", "c1"]
    assert all(len(c.images) == 2 and not c.labelled for c in cases)
    (root / "imagesTr/b1_0001.nii.gz").unlink()
    with pytest.raises(HinterlandError, match=r"'b1' has 1 channel.*expects 2.*b1_0001 is missing"):
        read_images(root / "imagesTr", channels=2)
    plain = make.plain(tmp_path / "plain")
    assert [c.name for c in read_images(plain / "images", channels=1)] == ["p0", "p1", "p2", "p3"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(HinterlandError, match="no image"):
        read_images(tmp_path / "empty", channels=1)


def scans(folder: Path, *names: str) -> Path:
    for i, name in enumerate(names):
        make.nifti(folder / f"{name}.nii.gz", make.image_array(i))
    return folder


def files(cases) -> dict[str, list[str]]:
    return {c.name: [p.name.removesuffix(".nii.gz") for p in c.images] for c in cases}


def test_a_channel_missing_in_the_middle_is_not_the_next_one(tmp_path: Path) -> None:
    folder = scans(tmp_path, "x_0000", "x_0002", "y_0000", "y_0001")
    with pytest.raises(HinterlandError, match=r"'x'.*x_0000.*x_0002.*: x_0001 is missing"):
        read_images(folder, channels=2)
    with pytest.raises(HinterlandError, match=r"'x'.*x_0001 is missing"):
        read_images([folder / "x_0000.nii.gz"], channels=3)


def test_channels_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = scans(tmp_path, "x_0001", "x_0000", "y_0000", "y_0001")
    expected = {"x": ["x_0000", "x_0001"], "y": ["y_0000", "y_0001"]}
    assert files(read_images(folder, channels=2)) == expected
    assert files(read_images([folder / "y_0001.nii.gz"], channels=2)) == {"y": expected["y"]}


def test_numbered_pictures_are_cases_of_their_own(tmp_path: Path) -> None:
    folder = scans(tmp_path, "IMG_0001", "IMG_0002", "IMG_0010")
    names = ["IMG_0001", "IMG_0002", "IMG_0010"]
    assert files(read_images(folder, channels=1)) == {n: [n] for n in names}


def test_a_file_given_alone_brings_no_siblings(tmp_path: Path) -> None:
    folder = scans(tmp_path, "IMG_0000", "IMG_0001", "IMG_0002")
    found = read_images([folder / "IMG_0001.nii.gz"], channels=1)
    assert files(found) == {"IMG_0001": ["IMG_0001"]}
    with pytest.raises(HinterlandError, match=r"'IMG' has 3 channel file.*that is too many"):
        read_images(folder, channels=1)  # might as well be three channels of one scan


def test_nnunets_name_of_the_only_channel_is_no_part_of_the_case(tmp_path: Path) -> None:
    folder = scans(tmp_path, "a_0000", "b")
    assert files(read_images(folder, channels=1)) == {"a": ["a_0000"], "b": ["b"]}
    scans(tmp_path, "a")
    with pytest.raises(HinterlandError, match="several inputs are the same case, 'a'"):
        read_images(folder, channels=1)


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "scan.dcm").write_bytes(b"DICM")
    with pytest.raises(HinterlandError, match="dcm2niix"):
        read_images(tmp_path, channels=1)
    with pytest.raises(HinterlandError, match=r"scan\.dcm is no image file"):
        read_images([tmp_path / "scan.dcm"], channels=1)
    make.picture(tmp_path / "rgb.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(HinterlandError, match=r"rgb\.png has 3 channel.*expects 1"):
        read_images(tmp_path, channels=1)


def pictures(folder: Path, names: str, channels: int = 1) -> Path:
    folder.mkdir()
    shape = (8, 8) if channels == 1 else (8, 8, channels)
    for name in names.split():
        Image.fromarray(np.zeros(shape, np.uint8)).save(folder / f"{name}.png")
    return folder


@pytest.mark.parametrize(
    ("names", "channels", "expected"),
    [
        ("IMG_0001 IMG_0002 IMG_0003", 1, ["IMG_0001", "IMG_0002", "IMG_0003"]),
        ("IMG_0000 IMG_0001 IMG_0007", 1, ["IMG_0000", "IMG_0001", "IMG_0007"]),
        ("IMG_0000 IMG_0001 IMG_0002", 3, ["IMG_0000", "IMG_0001", "IMG_0002"]),
        ("a_0000 b_0000", 1, ["a", "b"]),
        ("a_0000 b_0000", 3, ["a", "b"]),
        ("a_0000 b", 1, ["a", "b"]),
    ],
)
def test_pictures_that_a_camera_numbered_are_a_case_each(tmp_path, names, channels, expected):
    folder = pictures(tmp_path / "set", names, channels)
    cases = read_images(folder, channels)
    assert [c.name for c in cases] == expected
    assert [len(c.images) for c in cases] == [1] * len(expected)
    for path, name in zip(sorted(folder.iterdir()), expected, strict=True):
        (case,) = read_images([path], channels)  # nothing beside it is pulled in
        assert (case.name, case.images) == (name, (path,))
