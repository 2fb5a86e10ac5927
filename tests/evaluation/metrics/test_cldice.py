"""clDice: by hand, against its formula on other centre lines, and by its properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from hinterland.evaluation.metrics.cldice import cl_dice, skeleton
from hinterland.evaluation.metrics.metrics import measure


def tube(length: int, at: int = 8, radius: int = 2, shape: tuple[int, ...] = (17, 17, 60)):
    """Draw a tube along the last axis, `radius` thick, beginning at 5."""
    distance = np.zeros(shape[:-1])
    grids = np.meshgrid(*(np.arange(n) for n in shape[:-1]), indexing="ij")
    for axis, grid in enumerate(grids):
        distance += (grid - (at if axis == 0 else 8)) ** 2
    mask = np.zeros(shape, bool)
    mask[..., 5 : 5 + length] = (distance <= radius**2)[..., None]
    return mask


@pytest.mark.parametrize("shape", [(17, 17, 60), (17, 60)])
def test_half_a_vessel_has_half_the_sensitivity(shape):
    whole, half = tube(48, shape=shape), tube(24, shape=shape)
    line = skeleton(whole)
    sensitivity = np.count_nonzero(line & half) / np.count_nonzero(line)
    assert sensitivity == pytest.approx(0.5, abs=0.06)
    assert cl_dice(half, whole) == pytest.approx(2 * sensitivity / (1 + sensitivity))


def test_thickness_does_not_count_where_volume_does():
    thick, thin = tube(48, radius=4), tube(48, radius=1)
    found = measure(thin, thick, (1.0, 1.0, 1.0), metrics=("dice", "cldice"))
    assert found["cldice"] > 0.9
    assert found["dice"] < 0.25


def test_tubes_apart_are_zero():
    assert cl_dice(tube(48, at=3), tube(48, at=13)) == 0


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_properties(seed):
    draw = np.random.default_rng(seed)
    masks = [ndimage.gaussian_filter(draw.normal(size=(20, 20, 20)), 2) > 0.03 for _ in range(2)]
    a, b = (m if m.any() else ~m for m in masks)
    value = cl_dice(a, b)
    assert 0 <= value <= 1
    assert value == pytest.approx(cl_dice(b, a))  # precision and sensitivity change places
    assert cl_dice(a, a) == 1
    lines = skeleton(a), skeleton(b)
    assert not (lines[0] & ~a).any()
    precision, sensitivity = (
        (lines[0] & b).sum() / lines[0].sum(),
        (lines[1] & a).sum() / lines[1].sum(),
    )
    if precision and sensitivity:
        assert value == pytest.approx(2 / (1 / precision + 1 / sensitivity))


def test_a_crop_changes_nothing():
    small, whole = tube(48, shape=(17, 17, 60))[4:13, 4:13, 5:53], tube(48)
    assert skeleton(small).sum() == skeleton(whole).sum()


def test_empty_masks_follow_the_policies():
    mask, nothing = tube(48), np.zeros((17, 17, 60), bool)
    ones = (1.0, 1.0, 1.0)
    assert measure(nothing, nothing, ones, metrics=("cldice",))["cldice"] == 1
    assert measure(nothing, mask, ones, metrics=("cldice",))["cldice"] == 0
