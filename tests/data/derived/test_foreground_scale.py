"""Objects made larger or smaller in place."""

from __future__ import annotations

import numpy as np
import pytest

from hinterland.data.derived.foreground_scale import scale_foreground
from hinterland.types import HinterlandError


def disc(radius: float, edge: int = 61) -> np.ndarray:
    y, x = np.mgrid[:edge, :edge] - edge // 2
    return (np.hypot(y, x) <= radius)[None]


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.2, 1.5])
def test_a_disc_becomes_a_disc_of_the_scaled_radius(factor):
    inside = disc(16)
    label = inside.astype(np.int16)
    label[0, 30, 30] = 2  # a second class in its centre
    image = np.where(inside, 200, 40)[None].astype(np.uint8)
    scaled, found = scale_foreground(image, label, factor)
    off = (found > 0) ^ disc(16 * factor)
    assert off.sum() <= 0.05 * (found > 0).sum()
    assert found[0, 30, 30] == 2
    assert scaled.dtype == np.uint8
    assert np.array_equal(scaled[0], np.where(found > 0, 200, 40))  # rim and filling are clean


def test_gradients_inside_travel_and_the_rest_stays():
    inside = disc(10)
    x = np.arange(61)[None, None] + np.zeros((1, 61, 1))
    image = np.where(inside, x, -5.0)[None]
    scaled, found = scale_foreground(image, inside.astype(np.int16), 2.0)
    assert scaled[0, 0, 30, 30 + 8] == pytest.approx(30 + 4)
    assert (scaled[0][found == 0] == -5).all()
    volume = np.repeat(inside, 5, axis=0).astype(np.int16)
    volume[[0, 4]] = 0
    _, deeper = scale_foreground(np.zeros((1, *volume.shape)), volume, 0.5)
    assert (deeper > 0).any(axis=(1, 2)).sum() < 3  # slices are scaled, too


def test_nothing_to_do_and_what_cannot_be_meant():
    image, label = np.random.default_rng(0).random((2, 1, 5, 5)), np.zeros((1, 5, 5), np.int16)
    for mask, factor in ((label, 0.5), (label + (np.arange(5) > 2), 1.0)):
        same = scale_foreground(image, mask, factor)
        assert np.array_equal(same[0], image)
        assert np.array_equal(same[1], mask)
    with pytest.raises(HinterlandError, match="positive"):
        scale_foreground(image, label, 0.0)
