"""Volumes that meet: the same voxels in another order are brought together, all else is refused."""

from __future__ import annotations

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from hinterland.data.io.grid import Grid, differences, on_grid
from hinterland.data.io.volume import VolumeError, read_label, read_volume

RNG = np.random.default_rng(0)
OBLIQUE = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(0.2, -0.1, 0.3) @ np.diag([0.7, 0.8, 2.5]), (-31, 12, 5)
)


def stored(array: np.ndarray, affine: np.ndarray, order, signs) -> nib.Nifti1Image:
    """The same voxels (x, y, z) with their axes in another order and direction."""
    orientation = np.array([[order.index(a), signs[a]] for a in range(3)], float)
    return nib.Nifti1Image(array, affine).as_reoriented(orientation)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=3)))
def test_every_order_of_axes_is_brought_back(order, signs):
    array = RNG.normal(size=(4, 5, 6)).astype(np.float32)
    other = stored(array, OBLIQUE, order, signs)
    data = np.asarray(other.dataobj).transpose(2, 1, 0)[None]
    found = on_grid(data, other.affine, Grid((6, 5, 4), OBLIQUE))
    np.testing.assert_array_equal(found[0], array.transpose(2, 1, 0))


@pytest.mark.parametrize("signs", [(-1, 1, 1), (1, -1, 1), (1, 1, -1), (-1, -1, 1)])
def test_a_second_channel_stored_flipped(tmp_path, signs):
    first, second = RNG.normal(size=(2, 4, 4, 4)).astype(np.float32)
    nib.save(nib.Nifti1Image(first, OBLIQUE), tmp_path / "x_0000.nii.gz")
    nib.save(stored(second, OBLIQUE, (0, 1, 2), signs), tmp_path / "x_0001.nii.gz")
    volume = read_volume([tmp_path / "x_0000.nii.gz", tmp_path / "x_0001.nii.gz"])
    np.testing.assert_array_equal(volume.array[0], first.transpose(2, 1, 0))
    np.testing.assert_array_equal(volume.array[1], second.transpose(2, 1, 0))
    np.testing.assert_allclose(volume.affine, OBLIQUE, atol=1e-5)


def test_a_label_stored_flipped_against_its_image(tmp_path):
    image, label = RNG.normal(size=(4, 5, 6)), RNG.integers(0, 4, (4, 5, 6), dtype=np.uint8)
    nib.save(nib.Nifti1Image(image, OBLIQUE), tmp_path / "x_0000.nii.gz")
    nib.save(stored(label, OBLIQUE, (2, 0, 1), (1, -1, -1)), tmp_path / "x.nii.gz")
    found = read_label(tmp_path / "x.nii.gz", like=tmp_path / "x_0000.nii.gz")
    np.testing.assert_array_equal(found.array[0], label.transpose(2, 1, 0))


def shifted(by: float) -> np.ndarray:
    affine = OBLIQUE.copy()
    affine[0, 3] += by
    return affine


@pytest.mark.parametrize(
    ("affine", "word"),
    [
        (shifted(50.0), "origin"),
        (OBLIQUE @ np.diag([2, 2, 2, 1]), "spacing"),
        (nib.affines.from_matvec(np.diag([0.7, 0.8, 2.5]), (-31, 12, 5)), "direction"),
        (OBLIQUE * np.nan, "affine"),
    ],
)
def test_what_would_need_resampling_is_refused(tmp_path: Path, affine, word):
    array = RNG.normal(size=(4, 4, 4)).astype(np.float32)
    nib.save(nib.Nifti1Image(array, OBLIQUE), tmp_path / "x_0000.nii.gz")
    other = nib.Nifti1Image(array, OBLIQUE)
    other.header["srow_x"], other.header["srow_y"], other.header["srow_z"] = affine[:3]
    other.header["sform_code"] = 1
    nib.save(nib.Nifti1Image(array, None, other.header), tmp_path / "x_0001.nii.gz")
    with pytest.raises(VolumeError, match=f"x_0001.nii.gz.*{word}") as caught:
        read_volume([tmp_path / "x_0000.nii.gz", tmp_path / "x_0001.nii.gz"])
    assert caught.value.code == "channel-grid"


def test_rounding_in_headers_is_no_difference():
    grid = Grid((4, 4, 4), OBLIQUE)
    assert not [d for d in differences(grid, Grid((4, 4, 4), OBLIQUE * (1 + 2e-8))) if d.matters]
    array = np.zeros((1, 4, 4, 4))
    assert on_grid(array, OBLIQUE * (1 + 1e-6), grid) is array
