"""The metrics against brute force, by hand, and by their properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_masks import random_masks, slow_distances, slow_surface

from hinterland.evaluation.metrics import surface as surface_module
from hinterland.evaluation.metrics.metrics import (
    MetricSettings,
    assd,
    dice,
    hd95,
    jaccard,
    measure,
    nsd,
    relative_volume_difference,
    volume_error,
)
from hinterland.evaluation.metrics.surface import surface, surface_distances
from hinterland.types import HinterlandError

SPACINGS = {2: [(1.0, 1.0), (0.7, 2.5)], 3: [(1.0, 1.0, 1.0), (3.0, 0.8, 0.8), (0.5, 2.0, 1.3)]}


@pytest.mark.parametrize("dims", [2, 3])
def test_thousand_random_masks_agree_with_brute_force(dims: int) -> None:
    rng = np.random.default_rng(dims)
    for i in range(500):
        prediction, reference = random_masks(rng, dims)
        spacing = SPACINGS[dims][i % len(SPACINGS[dims])]
        forward, backward = slow_distances(prediction, reference, spacing)
        both = np.concatenate([forward, backward])
        found = measure(prediction, reference, spacing, MetricSettings(tolerance=1.1))
        overlap = np.logical_and(prediction, reference).sum()
        expected = {
            "dice": 2 * overlap / (prediction.sum() + reference.sum()),
            "jaccard": overlap / np.logical_or(prediction, reference).sum(),
            "hd95": max(np.percentile(forward, 95), np.percentile(backward, 95)),
            "assd": both.mean(),
            "nsd": (both <= 1.1).mean(),
        }
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, abs=1e-9), (i, name)
        assert hd95(prediction, reference, spacing, mode="pooled") == pytest.approx(
            np.percentile(both, 95), abs=1e-9
        )
        assert assd(prediction, reference, spacing, mode="directed") == pytest.approx(
            forward.mean(), abs=1e-9
        )


@pytest.mark.parametrize("offsets", [1, 7, 96, 500])
def test_any_number_of_shells_gives_the_same_distances(
    offsets: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surface_module, "_SHELL_OFFSETS", offsets)
    surface_module._shells.cache_clear()
    rng = np.random.default_rng(7)
    for spacing in SPACINGS[3]:
        prediction, reference = random_masks(rng, 3, side=14)
        reference = np.pad(reference, ((0, 0), (20, 0), (0, 3)))
        prediction = np.pad(prediction, ((0, 0), (0, 20), (3, 0)))
        found = surface_distances(prediction, reference, spacing)
        forward, backward = slow_distances(prediction, reference, spacing)
        np.testing.assert_allclose(np.sort(found.forward), np.sort(forward), atol=1e-9)
        np.testing.assert_allclose(np.sort(found.backward), np.sort(backward), atol=1e-9)
    surface_module._shells.cache_clear()


def test_surface_is_mask_minus_padded_erosion() -> None:
    rng = np.random.default_rng(3)
    for dims in (2, 3):
        mask, _ = random_masks(rng, dims)
        assert np.array_equal(np.argwhere(surface(mask)), slow_surface(mask))
    assert surface(np.ones((5, 5, 5), bool)).sum() == 125 - 27  # the border cuts the mask off


def test_by_hand() -> None:
    reference, prediction = np.zeros((2, 10, 10), bool)
    reference[2:6, 2:6] = True
    prediction[2:6, 4:8] = True
    assert dice(prediction, reference) == pytest.approx(0.5)
    assert jaccard(prediction, reference) == pytest.approx(1 / 3)
    distances = surface_distances(prediction, reference, (1.0, 2.0))
    assert distances.forward.max() == 4.0  # the far side, two voxels of 2 mm
    assert nsd(prediction, reference, (1.0, 2.0), tolerance=4.0) == 1.0
    far = measure(prediction, reference, (1.0, 2.0))
    assert far["volume_error_ml"] == 0.0
    assert far["reference_ml"] == pytest.approx(16 * 2 / 1000)
    half = prediction.copy()
    half[:4] = False
    assert volume_error(half, reference, (1.0, 2.0)) == pytest.approx(-8 * 2 / 1000)
    assert relative_volume_difference(half, reference) == -50.0


def test_a_single_slice_is_a_2d_image_but_a_thin_mask_is_not() -> None:
    prediction, reference = random_masks(np.random.default_rng(5), 2, side=24)
    flat = measure(prediction, reference, (0.8, 0.8))
    volume = measure(prediction[None], reference[None], (9.0, 0.8, 0.8))
    for name in ("dice", "hd95", "assd", "nsd"):
        assert volume[name] == flat[name]
    thick = np.zeros((3, 24, 24), bool)
    pred, ref = thick.copy(), thick.copy()
    pred[1], ref[1] = prediction, reference
    expected = slow_distances(pred, ref, (9.0, 0.8, 0.8))
    found = measure(pred, ref, (9.0, 0.8, 0.8))
    assert found["assd"] == pytest.approx(np.concatenate(expected).mean())
    assert found["assd"] != pytest.approx(flat["assd"])  # all voxels of a thin mask are surface


@st.composite
def mask_pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
    dims = draw(st.sampled_from([2, 3]))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    prediction, reference = random_masks(rng, dims, draw(st.integers(4, 9)))
    spacing = tuple(draw(st.floats(0.3, 5.0)) for _ in range(dims))
    return prediction, reference, spacing


NAMES = ("dice", "jaccard", "hd95", "assd", "nsd")


@settings(max_examples=60, deadline=None)
@given(mask_pairs())
def test_identity_and_symmetry(pair: tuple) -> None:
    prediction, reference, spacing = pair
    same = measure(reference, reference, spacing)
    assert [same[n] for n in NAMES] == [1.0, 1.0, 0.0, 0.0, 1.0]
    one, other = measure(prediction, reference, spacing), measure(reference, prediction, spacing)
    assert [one[n] for n in NAMES] == pytest.approx([other[n] for n in NAMES])
    assert one["volume_error_ml"] == pytest.approx(-other["volume_error_ml"])


@settings(max_examples=60, deadline=None)
@given(mask_pairs(), st.lists(st.integers(0, 6), min_size=6, max_size=6))
def test_translation_changes_nothing(pair: tuple, margins: list[int]) -> None:
    prediction, reference, spacing = pair
    frame = [(1, 1)] * prediction.ndim
    moved = [(1 + margins[2 * a], 1 + margins[2 * a + 1]) for a in range(prediction.ndim)]
    here = measure(*(np.pad(m, frame) for m in (prediction, reference)), spacing)
    there = measure(*(np.pad(m, moved) for m in (prediction, reference)), spacing)
    assert [here[n] for n in NAMES] == [there[n] for n in NAMES]


@settings(max_examples=60, deadline=None)
@given(mask_pairs(), st.floats(0.2, 7.0))
def test_distances_scale_with_spacing(pair: tuple, factor: float) -> None:
    prediction, reference, spacing = pair
    wide = tuple(s * factor for s in spacing)
    before = measure(prediction, reference, spacing)
    after = measure(prediction, reference, wide, MetricSettings(tolerance=factor * (1 + 1e-9)))
    for name in ("hd95", "assd"):
        assert after[name] == pytest.approx(before[name] * factor)
    assert after["dice"] == before["dice"]
    assert after["nsd"] == pytest.approx(
        measure(prediction, reference, spacing, MetricSettings(tolerance=1 + 1e-9))["nsd"]
    )


def test_voxel_units_forget_the_spacing() -> None:
    prediction, reference = random_masks(np.random.default_rng(2), 3)
    voxels = measure(prediction, reference, (3.0, 1.0, 1.0), MetricSettings(unit="voxel"))
    ones = measure(prediction, reference, (1.0, 1.0, 1.0))
    assert [voxels[n] for n in NAMES] == [ones[n] for n in NAMES]
    assert np.isnan(voxels["volume_error_ml"])


def test_tolerance_by_class() -> None:
    prediction, reference = random_masks(np.random.default_rng(4), 3, side=12)
    chosen = MetricSettings(tolerance={"lung": 3.0})
    spacing = (1.0, 1.0, 1.0)
    lung = measure(prediction, reference, spacing, chosen, name="lung")["nsd"]
    other = measure(prediction, reference, spacing, chosen, name="liver")["nsd"]
    assert lung == nsd(prediction, reference, spacing, tolerance=3.0)
    assert other == nsd(prediction, reference, spacing, tolerance=1.0) < lung


@pytest.mark.parametrize(
    ("prediction", "reference", "spacing", "message"),
    [
        (np.zeros((3, 3), bool), np.zeros((3, 4), bool), (1, 1), "has shape"),
        (np.zeros((3, 3), int), np.zeros((3, 3), bool), (1, 1), "must be boolean"),
        (np.zeros((3, 3), bool), np.zeros((3, 3), bool), (1, 1, 1), "one positive length"),
        (np.zeros((3, 3), bool), np.zeros((3, 3), bool), (1, 0), "one positive length"),
    ],
)
def test_masks_that_do_not_belong_together(prediction, reference, spacing, message) -> None:
    with pytest.raises(HinterlandError, match=message):
        hd95(prediction, reference, spacing)


def test_unknown_names_are_refused() -> None:
    mask = np.ones((3, 3), bool)
    with pytest.raises(HinterlandError, match="empty-mask policy"):
        dice(mask, mask, empty="zero")
    with pytest.raises(HinterlandError, match="HD mode"):
        hd95(mask, mask, (1, 1), mode="max")  # type: ignore[arg-type]
    with pytest.raises(HinterlandError, match="ASD mode"):
        assd(mask, mask, (1, 1), mode="both")  # type: ignore[arg-type]
    with pytest.raises(HinterlandError, match="empty mask"):
        surface_distances(mask, np.zeros_like(mask), (1, 1))
