"""Reading and writing images and label files."""

from __future__ import annotations

import pickle
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hinterland.data.io.volume import (
    Header,
    Volume,
    VolumeError,
    file_ending,
    label_ending,
    probability_ending,
    read_header,
    read_label,
    read_volume,
    stem,
    write_label,
    write_probabilities,
)
from hinterland.types import HinterlandError


def oblique(seed: int = 0) -> np.ndarray:
    """A rotated, anisotropic, left-handed affine far from the origin."""
    rng = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = axes * rng.uniform(0.3, 8, 3)
    affine[:3, 3] = rng.uniform(-300, 300, 3)
    return affine


def image(channels: int = 1, seed: int = 0) -> Volume:
    array = np.random.default_rng(seed).normal(size=(channels, 4, 5, 6)).astype(np.float32)
    return Volume(array, oblique(seed))


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".mha", ".nrrd"])
@pytest.mark.parametrize("seed", range(4))
def test_label_keeps_the_geometry(ending: str, seed: int, tmp_path: Path) -> None:
    like = image(seed=seed)
    label = np.random.default_rng(1).integers(0, 5, like.shape)
    path = write_label(tmp_path / f"a{ending}", label, like)
    back, header = read_label(path), read_header(path)
    np.testing.assert_array_equal(back.array[0], label)
    assert back.array.dtype == np.uint8
    assert back.shape == like.shape
    for affine in (back.affine, header.affine):
        np.testing.assert_allclose(affine, like.affine, atol=1e-4)
    np.testing.assert_allclose(back.spacing, like.spacing, atol=1e-4)
    assert header.shape == (1, 4, 5, 6)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]  # nothing temporary is left


@pytest.mark.parametrize("ending", [".nii.gz", ".mha", ".nrrd"])
def test_other_readers_agree_on_the_geometry(ending: str, tmp_path: Path) -> None:
    """What ITK says of our file must be what nibabel says of it, in ITK's frame."""
    like = image(seed=7)
    label = np.random.default_rng(1).integers(0, 3, like.shape)
    read = sitk.ReadImage(str(write_label(tmp_path / f"a{ending}", label, like)))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), label)
    for voxel in [(0, 0, 0), (5, 0, 0), (0, 4, 0), (1, 2, 3)]:
        ras = like.affine @ [*voxel, 1]
        lps = read.TransformContinuousIndexToPhysicalPoint([float(v) for v in voxel])
        np.testing.assert_allclose(lps, [-ras[0], -ras[1], ras[2]], atol=1e-4)


@pytest.mark.parametrize("ending", [".nii.gz", ".mha", ".nrrd", ".tif"])
def test_probabilities_round_trip(ending: str, tmp_path: Path) -> None:
    like = image()
    probabilities = np.random.default_rng(1).random((3, *like.shape)).astype(np.float32)
    path = write_probabilities(tmp_path / f"p{ending}", probabilities, like)
    back = read_volume(path)
    np.testing.assert_array_equal(back.array, probabilities)
    assert back.array.dtype == np.float32
    if ending != ".tif":
        np.testing.assert_allclose(back.affine, like.affine, atol=1e-4)


def test_channels_are_stacked_in_the_order_given(tmp_path: Path) -> None:
    paths = []
    for i in range(3):
        paths.append(tmp_path / f"a_000{i}.nii.gz")
        nib.save(nib.Nifti1Image(np.full((2, 3, 4), i, np.int16), np.eye(4)), paths[-1])
    volume = read_volume(paths)
    assert volume.array.shape == (3, 4, 3, 2)
    assert volume.array.dtype == np.int16
    assert [c.flat[0] for c in volume.array] == [0, 1, 2]


def test_voxel_order_is_channel_z_y_x(tmp_path: Path) -> None:
    array = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).astype(np.int16)  # x, y, z, channel
    nib.save(nib.Nifti1Image(array, np.diag([2.0, 3.0, 4.0, 1.0])), tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    assert volume.array.shape == (5, 4, 3, 2)
    assert volume.array[4, 3, 2, 1] == array[1, 2, 3, 4]
    assert volume.spacing == (4.0, 3.0, 2.0)
    assert read_header(tmp_path / "a.nii").shape == (5, 4, 3, 2)


def test_nifti_scaling_is_applied(tmp_path: Path) -> None:
    picture = nib.Nifti1Image(np.array([[[0, 10]]], np.int16), np.eye(4))
    picture.header.set_slope_inter(0.5, -1)
    picture.header["vox_offset"] = 352
    with (tmp_path / "a.nii").open("wb") as file:  # nibabel's own writer would rescale
        file.write(picture.header.binaryblock + bytes(4) + np.array([0, 10], np.int16).tobytes())
    np.testing.assert_allclose(read_volume(tmp_path / "a.nii").array.ravel(), [-1, 4])


def test_flat_nifti_has_one_slice(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((7, 5), np.uint8), np.eye(4)), tmp_path / "a.nii.gz")
    assert read_volume(tmp_path / "a.nii.gz").array.shape == (1, 1, 5, 7)


RGB = np.random.default_rng(0).integers(0, 255, (6, 9, 3), dtype=np.uint8)


def pictures() -> dict[str, tuple[Image.Image, int]]:
    """Pillow modes with the number of channels that they should be read as."""
    rgb = Image.fromarray(RGB)
    return {
        "rgb.png": (rgb, 3),
        "rgba.png": (rgb.convert("RGBA"), 3),
        "grey.png": (rgb.convert("L"), 1),
        "grey_alpha.png": (rgb.convert("LA"), 1),
        "palette.png": (rgb.convert("P"), 3),
        "bits.png": (rgb.convert("1"), 1),
        "deep.png": (Image.fromarray(RGB[..., 0].astype(np.uint16) * 200), 1),
        "rgb.bmp": (rgb, 3),
        "rgb.jpg": (rgb, 3),
        "lzw.tif": (rgb, 3),
    }


@pytest.mark.parametrize("name", pictures())
def test_pictures(name: str, tmp_path: Path) -> None:
    picture, channels = pictures()[name]
    picture.save(tmp_path / name, **({"compression": "tiff_lzw"} if name == "lzw.tif" else {}))
    volume, header = read_volume(tmp_path / name), read_header(tmp_path / name)
    assert volume.array.shape == header.shape == (channels, 1, 6, 9)
    assert volume.array.dtype == header.dtype
    assert volume.spacing == (1, 1, 1)
    if name in ("rgb.png", "rgba.png", "rgb.bmp", "lzw.tif"):
        np.testing.assert_array_equal(volume.array[:, 0], RGB.transpose(2, 0, 1))
    if name == "deep.png":
        np.testing.assert_array_equal(volume.array[0, 0], RGB[..., 0].astype(int) * 200)


@pytest.mark.parametrize(
    ("shape", "options", "expected"),
    [
        ((6, 9), {}, (1, 1, 6, 9)),
        ((7, 6, 9), {}, (1, 7, 6, 9)),
        ((6, 9, 3), {"photometric": "rgb"}, (3, 1, 6, 9)),
        ((6, 9, 4), {"photometric": "rgb"}, (3, 1, 6, 9)),
        ((4, 2, 6, 9), {"imagej": True}, (2, 4, 6, 9)),
        ((2, 6, 9), {"metadata": {"axes": "CYX"}}, (2, 1, 6, 9)),
    ],
)
def test_tiff_axes(
    shape: tuple[int, ...], options: dict, expected: tuple[int, ...], tmp_path: Path
) -> None:
    array = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", array, **options)
    volume = read_volume(tmp_path / "a.tif")
    assert volume.array.shape == read_header(tmp_path / "a.tif").shape == expected
    if expected[:2] == (2, 4):
        np.testing.assert_array_equal(volume.array, array.transpose(1, 0, 2, 3))
    if expected[0] == 3:
        np.testing.assert_array_equal(volume.array[:, 0], array.transpose(2, 0, 1)[:3])


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif"])
def test_picture_label_goes_back_to_the_same_format(ending: str, tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / f"image{ending}")
    label = np.random.default_rng(0).integers(0, 4, (1, 6, 9))
    path = write_label(tmp_path / f"label{ending}", label, tmp_path / f"image{ending}")
    np.testing.assert_array_equal(read_label(path).array[0], label)


def test_many_classes_in_a_png(tmp_path: Path) -> None:
    label = np.arange(54).reshape(1, 6, 9) * 1000
    path = write_label(tmp_path / "a.png", label, Header((1, 1, 6, 9), np.eye(4), np.dtype("u1")))
    np.testing.assert_array_equal(read_label(path).array[0], label)


def test_palette_mask_is_read_by_index(tmp_path: Path) -> None:
    indices = np.arange(6, dtype=np.uint8).reshape(2, 3)
    picture = Image.fromarray(indices)
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128, 128, 0, 128])
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_label(tmp_path / "a.png").array[0, 0], indices)


def test_grey_mask_stored_in_colour(tmp_path: Path) -> None:
    grey = (RGB[..., :1] > 100).astype(np.uint8)
    Image.fromarray(grey.repeat(3, axis=-1)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_label(tmp_path / "a.png").array[0, 0], grey[..., 0])


@settings(max_examples=25, deadline=None)
@given(st.integers(-30000, 0), st.integers(0, 100000))
def test_any_integers_survive(
    tmp_path_factory: pytest.TempPathFactory, low: int, high: int
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.nii.gz"
    label = np.array([low, high, 1, 0]).reshape(1, 2, 2)
    write_label(path, label, Header((1, 1, 2, 2), np.eye(4), np.dtype("u1")))
    np.testing.assert_array_equal(read_label(path).array[0], label)


def test_float_label_with_rounding_noise_is_integer(tmp_path: Path) -> None:
    array = np.array([[[0, 1 - 1e-6, 2 + 1e-6]]], np.float32)
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii.gz")
    assert read_label(tmp_path / "a.nii.gz").array.ravel().tolist() == [0, 1, 2]


def test_refusals(tmp_path: Path) -> None:
    like, label = image(), np.zeros((4, 5, 6), int)
    with pytest.raises(VolumeError, match="no ending that is known") as info:
        read_volume(tmp_path / "a.dcm")
    assert info.value.code == "unknown-format"
    assert pickle.loads(pickle.dumps(info.value)).code == "unknown-format"
    with pytest.raises(VolumeError, match="there is no file"):
        read_volume(tmp_path / "a.nii.gz")
    with pytest.raises(HinterlandError, match=r"\(4, 5, 5\).*\(4, 5, 6\)"):
        write_label(tmp_path / "a.nii.gz", label[..., :5], like)
    with pytest.raises(HinterlandError, match="JPEG"):
        write_label(tmp_path / "a.jpg", label, like)
    with pytest.raises(HinterlandError, match=r"\.tif"):
        write_probabilities(tmp_path / "a.png", np.zeros((2, 4, 5, 6)), like)
    with pytest.raises(HinterlandError, match="one slice"):
        write_label(tmp_path / "a.png", label, like)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    like, label = image(), np.zeros((4, 5, 6), int)
    path = write_label(tmp_path / "a.nii.gz", label, like)
    with pytest.raises(HinterlandError, match="there already"):
        write_label(path, label + 1, like)
    assert read_label(path).array.max() == 0
    write_label(path, label + 1, like, overwrite=True)
    assert read_label(path).array.min() == 1


def test_channel_files_of_different_shapes(tmp_path: Path) -> None:
    for name, n in (("a", 4), ("b", 5)):
        nib.save(
            nib.Nifti1Image(np.zeros((n, 3, 3), np.uint8), np.eye(4)), tmp_path / f"{name}.nii"
        )
    with pytest.raises(VolumeError, match="one grid"):
        read_volume([tmp_path / "a.nii", tmp_path / "b.nii"])


def test_endings() -> None:
    assert file_ending("x/Case.1.NII.GZ") == ".nii.gz"
    assert stem("x/Case.1.nii.gz") == "Case.1"
    assert file_ending("a.dcm") == ""
    assert label_ending(".jpg") == ".png"
    assert label_ending(".nrrd") == ".nrrd"
    assert probability_ending(".png") == ".tif"
    assert probability_ending(".nii.gz") == ".nii.gz"
