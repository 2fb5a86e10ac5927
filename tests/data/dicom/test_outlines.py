"""RTSTRUCT: outlines become the voxels whose centres they enclose, holes and all."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="pydicom is not installed")
from dicom_files import AXIAL, OBLIQUE, voxels, write_outlines, write_series

from hinterland.data.dicom.outlines import find_outlines, mask_of
from hinterland.data.dicom.series import find_series
from hinterland.types import HinterlandError


def outline(series, points, z: int) -> np.ndarray:
    """Points (x, y) in voxels of slice z -> mm, left, back, up."""
    at = np.array([[x, y, z, 1.0] for x, y in points])
    return (series.affine @ at.T).T[:, :3] * [-1, -1, 1]


def box(left, top, right, bottom) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


@pytest.fixture(params=[AXIAL, OBLIQUE])
def series(tmp_path, request):
    write_series(tmp_path / "s", voxels(), directions=request.param)
    (found,), _ = find_series(tmp_path)
    return found


def test_outlines_fill_the_voxels_inside(series, tmp_path):
    organ = [outline(series, box(1.5, 2.5, 7.5, 9.5), z) for z in (2, 3)]
    hole = outline(series, box(3.5, 4.5, 5.5, 6.5), 3)
    structures = {"organ": [*organ, hole], "empty": []}
    write_outlines(tmp_path / "s" / "rt.dcm", series.uid, structures)
    (found,) = find_outlines(tmp_path / "s")
    assert found.series == series.uid
    expected = np.zeros(series.shape, bool)
    expected[2:4, 3:10, 2:8] = True
    expected[3, 5:7, 4:6] = False
    np.testing.assert_array_equal(mask_of(series, found.contours["organ"]), expected)
    assert not mask_of(series, found.contours["empty"]).any()


def test_a_disc_has_the_area_of_a_disc(series):
    angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    points = [(4.7 + 3.1 * np.cos(a), 5.2 + 3.1 * np.sin(a)) for a in angles]
    mask = mask_of(series, [outline(series, points, 1)])
    y, x = np.mgrid[: series.shape[1], : series.shape[2]]
    np.testing.assert_array_equal(mask[1], (x - 4.7) ** 2 + (y - 5.2) ** 2 < 3.1**2)


@pytest.mark.parametrize("z", [1.5, -1, 7])
def test_outlines_of_another_series_are_refused(series, z):
    with pytest.raises(HinterlandError, match="does not lie in a slice"):
        mask_of(series, [outline(series, box(1, 1, 3, 3), z)])
