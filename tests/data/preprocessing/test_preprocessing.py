"""Preprocessing and the way back, on phantoms whose answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scans import phantom, plan_for, volume
from scipy import ndimage

from hinterland.data.io.volume import Volume
from hinterland.data.preprocessing import resample as resampling
from hinterland.data.preprocessing.geometry import Geometry
from hinterland.data.preprocessing.preprocess import (
    LOCATIONS,
    geometry_of,
    label_locations,
    normalise,
    preprocess,
)
from hinterland.data.preprocessing.resample import (
    resample,
    resample_labels,
    resampled_shape,
    separate_axis,
)
from hinterland.types import HinterlandError, Normalisation


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def one_hot(label, values=(0, 1, 2, 7)):
    return np.stack([label == v for v in values]).astype(np.float32)


@pytest.mark.parametrize("transpose", [(0, 1, 2), (2, 0, 1), (1, 0, 2), (2, 1, 0)])
def test_round_trip_without_resampling_is_exact(transpose):
    image, label = phantom()
    scan = volume(image, (3.0, 1.0, 1.5))
    spacing = tuple(scan.spacing[a] for a in transpose)
    prepared, seen, geometry = preprocess(scan, plan_for(spacing, transpose), label)
    assert prepared.shape[1:] == seen.shape == geometry.shape
    assert prepared.shape[1:] != image.shape  # it was cropped
    back = geometry.undo(one_hot(seen))
    np.testing.assert_array_equal(back, one_hot(label))
    argmax = geometry.undo_argmax(one_hot(seen))
    np.testing.assert_array_equal(np.array([0, 1, 2, 7])[argmax], label)


@pytest.mark.parametrize("target", [(3.0, 0.5, 0.5), (1.5, 1.5, 1.5), (3.0, 2.0, 1.5)])
@pytest.mark.parametrize("transpose", [(0, 1, 2), (2, 0, 1)])
def test_round_trip_with_resampling_keeps_place_and_shape(target, transpose):
    image, label = phantom()
    scan = volume(image, (3.0, 1.0, 1.5))
    plan = plan_for(tuple(target[a] for a in transpose), transpose)
    _, seen, geometry = preprocess(scan, plan, label)
    back = geometry.undo_argmax(one_hot(seen))
    assert back.shape == label.shape
    restored = np.array([0, 1, 2, 7])[back]
    for value in (1, 2, 7):
        assert dice(restored == value, label == value) > 0.9
        centre = np.subtract(
            ndimage.center_of_mass(restored == value), ndimage.center_of_mass(label == value)
        )
        # a coarser grid rounds borders to its own voxels
        coarse = np.maximum(1, np.divide(target, (3.0, 1.0, 1.5)))
        assert (np.abs(centre) < 0.3 * coarse).all()


def test_physical_place_survives_cropping_and_resampling():
    """A point's place in mm along each axis, from the preprocessed grid and from the file's."""
    shape, spacing = (30, 60, 50), (2.0, 0.7, 0.9)
    image = np.zeros(shape, np.float32)
    image[4:27, 9:55, 11:47] = 50
    image[12:16, 20:30, 25:33] = 200
    plan = plan_for((1.0, 0.9, 0.7), transpose=(0, 2, 1), scheme="none")
    prepared, _, geometry = preprocess(volume(image, spacing), plan)
    centre = np.array(ndimage.center_of_mass(np.clip(prepared[0], 50, 200) - 50))
    step = np.array(geometry.cropped_shape) / geometry.shape  # of the grid, after rounding
    voxel = (centre + 0.5) * step - 0.5 + geometry.start
    back = voxel[np.argsort(plan.transpose)]
    assert np.abs(back - (13.5, 24.5, 28.5)).max() < 0.05


def test_outside_the_crop_is_background():
    image, _ = phantom()
    _, _, geometry = preprocess(volume(image), plan_for((1.0, 1.0, 1.0)))
    back = geometry.undo(np.full((3, *geometry.shape), 1 / 3, np.float32), background=1)
    np.testing.assert_allclose(back.sum(axis=0), 1, rtol=1e-6)
    assert back[:, 0, 0, 0].tolist() == [0, 1, 0]


def test_undo_refuses_another_shape():
    geometry = Geometry((4, 4, 4), (0, 1, 2), (0, 0, 0), (4, 4, 4), (1, 1, 1), (1, 1, 1))
    with pytest.raises(ValueError, match="expected"):
        geometry.undo(np.zeros((2, 4, 4, 5), np.float32))


@settings(deadline=None, max_examples=30)
@given(st.tuples(*[st.integers(1, 90)] * 3), st.tuples(*[st.integers(1, 60)] * 3))
def test_a_large_image_is_resampled_in_parts_to_the_same(shape, new):
    array = (300 * np.random.default_rng(sum(shape)).normal(size=shape)).astype(np.float32)
    whole = resampling._zoom(array, new, 3)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(resampling, "WHOLE", 0)
        patched.setattr(resampling, "PART", 5000)
        parts = resampling._zoom(array, new, 3)
    np.testing.assert_allclose(parts, whole, atol=1e-4)  # of values of hundreds


@settings(deadline=None, max_examples=40)
@given(
    st.tuples(*[st.integers(1, 12)] * 3),
    st.permutations((0, 1, 2)),
    st.tuples(*[st.sampled_from([0.5, 1.0, 1.3, 5.0])] * 3),
    st.tuples(*[st.sampled_from([0.5, 1.0, 2.0])] * 3),
)
def test_geometry_holds_for_any_shape(shape, order, spacing, target):
    rng = np.random.default_rng(sum(shape))
    image = rng.normal(size=(1, *shape)) * (rng.random(shape) < 0.3)
    plan = plan_for(target, tuple(order))
    geometry = geometry_of(image, spacing, plan)
    assert Geometry.from_json(geometry.to_json()) == geometry
    probabilities = rng.dirichlet(np.ones(3), size=geometry.shape).transpose(3, 0, 1, 2)
    back = geometry.undo(probabilities.astype(np.float32))
    assert back.shape == (3, *shape)
    np.testing.assert_allclose(back.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(
        geometry.undo_argmax(probabilities.astype(np.float32)), back.argmax(axis=0)
    )
    # nothing that is not zero was cropped away
    assert np.count_nonzero(geometry.crop(image)) == np.count_nonzero(image)


def test_normalisation_schemes():
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 200, (5, 6, 7, 8)).astype(np.float32)
    image[4, :3] = 0
    original = image.copy()
    schemes = [
        Normalisation("zscore"),
        Normalisation("ct", lower=20, upper=100, mean=60, std=20),
        Normalisation("rescale", upper=255),
        Normalisation("rescale"),
        Normalisation("none"),
    ]
    normalise(image, schemes)
    assert abs(image[0].mean()) < 1e-5
    assert abs(image[0].std() - 1) < 1e-5
    np.testing.assert_allclose(image[1], (original[1].clip(20, 100) - 60) / 20, rtol=1e-5)
    np.testing.assert_allclose(image[2], original[2] / 255, rtol=1e-5)
    assert (image[3].min(), image[3].max()) == (0, 1)
    np.testing.assert_array_equal(image[4], original[4])


def test_masked_zscore_reads_the_body_and_leaves_the_rest_zero():
    image, _ = phantom()
    body = ndimage.binary_fill_holes(image != 0)
    scaled = image[None].copy()
    normalise(scaled, [Normalisation("zscore", masked=True)])
    assert (scaled[0][~body] == 0).all()
    assert abs(scaled[0][body].mean()) < 1e-5
    assert abs(scaled[0][body].std() - 1) < 1e-4


def test_constant_and_empty_images():
    for value in (0, 1000.1):
        image = np.full((1, 4, 5, 6), value, np.float32)
        out, _, geometry = preprocess(volume(image), plan_for((1.0, 1.0, 1.0)))
        assert geometry.shape == (4, 5, 6)
        assert np.abs(out).max() < 1e-3


def test_clear_refusals():
    image, label = phantom()
    plan = plan_for((3.0, 1.0, 1.5))
    with pytest.raises(HinterlandError, match="2 channels, the plan was made for 1"):
        preprocess(volume(np.stack([image, image])), plan)
    with pytest.raises(HinterlandError, match="differ in shape"):
        preprocess(volume(image), plan, label[1:])
    with pytest.raises(HinterlandError, match="NaN"):
        preprocess(volume(np.where(image > 110, np.nan, image)), plan)
    with pytest.raises(HinterlandError, match="8 bit"):
        preprocess(volume(image * 10), plan_for((1, 1, 1), scheme="rescale", upper=255.0))


def test_input_is_left_alone():
    image, label = phantom()
    before = image.copy(), label.copy()
    preprocess(volume(image), plan_for((1.0, 1.0, 1.0)), label)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(label, before[1])


def test_unit_voxel_ignores_spacing_and_2d_keeps_slices():
    image, _ = phantom()
    scan = volume(image, (9.0, 0.2, 0.4))
    out, _, geometry = preprocess(scan, plan_for((1.0, 1.0, 1.0), unit="voxel"))
    assert out.shape[1:] == geometry.cropped_shape
    flat, _, geometry = preprocess(scan, plan_for((None, 0.4, 0.4)))
    assert flat.shape[1] == geometry.cropped_shape[0]
    assert flat.shape[2] == round(geometry.cropped_shape[1] / 2)


def test_cubic_resampling_of_a_smooth_field_and_its_limits():
    def field(shape):
        grid = [(np.arange(n) + 0.5) / n for n in shape]
        z, y, x = np.meshgrid(*grid, indexing="ij")
        return (np.sin(3 * z) + np.cos(4 * y) * x).astype(np.float32)

    for old, new in (((20, 24, 30), (30, 40, 25)), ((40, 40, 40), (20, 20, 20))):
        out = resample(field(old)[None], new, (1, 1, 1), (1, 1, 1))[0]
        inner = (slice(2, -2),) * 3
        assert np.abs(out - field(new))[inner].max() < 5e-3
    step = np.zeros((1, 16, 16, 16), np.float32)
    step[:, 8:] = 1
    out = resample(step, (25, 25, 25), (1, 1, 1), (1, 1, 1))
    assert out.min() >= 0  # no overshoot beside an edge
    assert out.max() <= 1


def test_linear_resampling_equals_scipy():
    rng = np.random.default_rng(0)
    array = rng.random((1, 9, 14, 7)).astype(np.float32)
    for new in ((9, 20, 11), (4, 14, 21), (18, 5, 7)):
        factors = [n / o for n, o in zip(new, array.shape[1:], strict=True)]
        expected = ndimage.zoom(array[0], factors, order=1, mode="nearest", grid_mode=True)
        out = resample(array, new, (1, 1, 1), (1, 1, 1), order=1)[0]
        np.testing.assert_allclose(out, expected, atol=1e-5)


def test_thick_slices_are_never_blended():
    assert separate_axis((5, 1, 1), (5, 1, 1)) == 0
    assert separate_axis((3, 1, 1), (3, 1, 1)) is None  # exactly three is not more than three
    assert separate_axis((1, 1, 1), (1, 4, 1)) == 1
    assert separate_axis((0.2, 1, 1), (0.2, 1, 1)) is None  # two equally coarse axes
    stack = np.arange(4, dtype=np.float32)[:, None, None] * np.ones((1, 10, 10), np.float32)
    out = resample(stack[None], (6, 20, 20), (6, 1, 1), (4, 0.5, 0.5))[0]
    assert [float(np.unique(s)[0]) for s in out] == [0, 1, 1, 2, 3, 3]
    assert all(len(np.unique(s)) == 1 for s in out)


def test_label_resampling_keeps_every_value_and_no_other():
    _, label = phantom()
    out = resample_labels(label.astype(np.int16), (40, 25, 60), (1, 1, 1), (1, 1, 1))
    assert set(np.unique(out)) == {0, 1, 2, 7}
    thin = np.array([[[0, 0, 0, 5, 0, 0]]], np.int16)
    assert resample_labels(thin, (1, 1, 3), (1, 1, 1), (1, 1, 2)).tolist() == [[[0, 5, 0]]]
    upscaled = resample_labels(np.array([[[-1, 3]]], np.int16), (1, 1, 4), (1, 1, 1), (1, 1, 1))
    assert upscaled.tolist() == [[[-1, -1, 3, 3]]]
    assert resampled_shape((3, 10, 1), (1, 1, 1), (100, 3, 1)) == (1, 3, 1)


def test_locations_name_voxels_of_their_value():
    rng = np.random.default_rng(0)
    label = (rng.random((60, 80, 90)) < 0.1).astype(np.int16) * 3
    label[5, 6, 7] = 500
    found = label_locations(label, "a")
    assert set(found) == {0, 3, 500}
    assert found[500].tolist() == [[5, 6, 7]]
    for value, at in found.items():
        assert (label[tuple(at.T)] == value).all()
        assert len(at) == min(LOCATIONS, (label == value).sum())
        assert len(np.unique(at, axis=0)) == len(at)
    again = label_locations(label, "a")
    assert all((again[v] == found[v]).all() for v in found)
    assert (label_locations(label, "b")[3] != found[3]).any()


@pytest.mark.parametrize("spacing", [(0.0, 1.0, 1.0), (1.0, np.nan, 1.0), (1.0, 1.0, np.inf)])
def test_a_voxel_size_that_is_none_is_refused_unless_spacing_is_unknown(spacing):
    image, _ = phantom()
    affine = np.diag([*spacing[::-1], 1.0])
    broken_header = Volume(image[None], affine)
    with pytest.raises(HinterlandError, match=r"voxel size of .* expected positive numbers"):
        preprocess(broken_header, plan_for((3.0, 1.0, 1.5)))
    found, _, geometry = preprocess(broken_header, plan_for((1.0, 1.0, 1.0), unit="voxel"))
    assert np.isfinite(found).all()
    assert geometry.spacing == (1.0, 1.0, 1.0)
