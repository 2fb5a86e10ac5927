"""Sliding windows: exactness where the answer is known, tiles, mirroring, both dimensions."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from hinterland.inference.tiling import tile_starts
from hinterland.inference.volumes import group_sums
from hinterland.inference.window import (
    assembled,
    gaussian_weights,
    sliding_window,
    window_slabs,
)


def pointwise(x: torch.Tensor) -> torch.Tensor:
    """A model without context: any tiling and mirroring must give the same answer."""
    logits = torch.cat([torch.zeros_like(x[:, :1]), x[:, :1], 2 * x[:, :1] - 1], dim=1)
    return logits.softmax(dim=1)


@pytest.mark.parametrize("tile", [(8, 8, 8), (16, 10), (5, 40, 12)])
@pytest.mark.parametrize("shape", [(20, 21, 17), (4, 30, 7)])
def test_pointwise_model_is_reproduced_exactly(tile, shape):
    image = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    mirror = tuple(range(len(tile)))
    result = sliding_window(pointwise, image, tile, mirror=mirror, batch=3)
    expected = pointwise(torch.from_numpy(image)[None])[0].log().numpy()
    assert result.shape == (3, *shape)
    np.testing.assert_allclose(result, expected, atol=2e-5)


def test_batch_size_does_not_matter():
    image = np.random.default_rng(1).normal(size=(1, 12, 13, 14)).astype(np.float32)
    one, five = (sliding_window(pointwise, image, (8, 8, 8), batch=b) for b in (1, 5))
    np.testing.assert_allclose(one, five, atol=1e-6)


def test_averaging_log_probabilities_is_averaging_logits():
    """A position-dependent model: the blend equals the softmax of weighted mean logits."""
    tile = (8, 8)
    ramp = torch.linspace(-2, 2, 8)[:, None] * torch.linspace(-1, 1, 8)[None]

    def logits(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x + ramp, 3 * x * ramp + 50], dim=1)

    image = np.random.default_rng(2).normal(size=(1, 1, 12, 8)).astype(np.float32)
    got = sliding_window(lambda x: logits(x).softmax(1), image, tile)
    total, weight = torch.zeros(2, 12, 8), torch.zeros(12, 8)
    for start in tile_starts(12, 8):
        w = torch.from_numpy(gaussian_weights(tile))
        part = logits(torch.from_numpy(image[0, :, start : start + 8])[None])[0]
        total[:, start : start + 8] += part * w
        weight[start : start + 8] += w
    np.testing.assert_allclose(got[:, 0], (total / weight).log_softmax(0), atol=1e-4)


def test_tiles_cover_and_overlap_by_half():
    for size in range(1, 200):
        starts = tile_starts(size, 16)
        assert starts[0] == 0
        assert starts[-1] + 16 >= size
        assert all(b - a <= 9 for a, b in pairwise(starts))


def test_group_sums_add_probabilities():
    p = np.random.default_rng(3).dirichlet(np.ones(4), size=(2, 3, 5)).transpose(0, 3, 1, 2)
    members = np.array([[1, 0, 1, 0], [0, 1, 0, 1]], bool)
    expected = np.stack([p[:, 0] + p[:, 2], p[:, 1] + p[:, 3]], axis=1)
    np.testing.assert_allclose(group_sums(torch.from_numpy(p), members), expected, rtol=1e-6)


def test_each_question_is_normalised_by_itself():
    def model(x):
        p = pointwise(x)
        return torch.cat([p, p[:, :1] + p[:, 1:2], p[:, 2:]], dim=1)

    image = np.random.default_rng(4).normal(size=(1, 6, 30, 20)).astype(np.float32)
    logs = assembled(window_slabs(model, image, (6, 16, 16), parts=[3, 2]), image.shape[1:])
    np.testing.assert_allclose(np.exp(logs[:3]).sum(axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(np.exp(logs[3:]).sum(axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(np.exp(logs[4]), np.exp(logs[2]), atol=1e-6)
