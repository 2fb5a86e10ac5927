"""Distances and components in torch are scipy's, on random masks, planes and volumes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage

from hinterland.losses.morphology.components import (
    components,
    keep_largest,
    largest_by_labels,
    largest_by_scipy,
)
from hinterland.losses.morphology.distances import FAR, distances, squared_distances

SHAPES = [(23,), (17, 26), (11, 8, 14)]
SPACINGS = [None, (0.7, 2.5, 1.3)]


def random_classes(seed: int, shape: tuple[int, ...], count: int = 3, items: int = 2):
    """Draw blobs of classes in some items and salt and pepper in others."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((items, count, *(1 + seed % 6,) * len(shape)), generator=generator)
    mode = ("linear", "bilinear", "trilinear")[len(shape) - 1]
    blobs = F.interpolate(coarse, size=shape, mode=mode).argmax(dim=1)
    salt = torch.randint(count, (items, *shape), generator=generator)
    return torch.where(torch.rand(blobs.shape, generator=generator) < 0.1 * (seed % 3), salt, blobs)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("shape", SHAPES)
def test_distances_are_scipys_on_random_masks(shape, spacing):
    size = None if spacing is None else spacing[: len(shape)]
    for seed in range(100):
        masks = random_classes(seed, shape, items=2) != 1
        found = squared_distances(masks, size).sqrt().numpy()
        for mask, one in zip(masks.numpy(), found, strict=True):
            if mask.all():
                assert (one >= FAR**0.5).all()
            else:
                expected = ndimage.distance_transform_edt(mask, sampling=size)
                assert np.abs(one - expected).max() < 1e-5


@pytest.mark.parametrize("shape", SHAPES)
def test_distances_are_the_same_whatever_works_them_out(shape):
    """Planes on a CPU go through scipy: equal but for the rounding of a root."""
    for seed in range(20):
        masks = random_classes(seed, shape) != 1
        masks[-1] = seed % 2 == 0
        there = squared_distances(masks).sqrt()
        near = there < FAR**0.5
        assert torch.allclose(distances(masks)[near], there[near], rtol=2e-7, atol=0)
        assert (distances(masks)[~near] >= FAR**0.5).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_components_are_scipys_on_random_classes(shape):
    structure = np.ones((3,) * len(shape))
    for seed in range(100):
        classes = random_classes(seed, shape)
        found = components(classes).flatten(1)
        assert (classes.flatten()[found] == classes.flatten(1)).all()
        for item, labels in zip(classes, found, strict=True):
            for value in item.unique():
                expected, count = ndimage.label((item == value).numpy(), structure)
                here = (item == value).flatten()
                pairs = set(zip(expected.ravel()[here], labels[here].tolist(), strict=True))
                assert len(pairs) == count == len({label for _, label in pairs})


def test_the_component_of_a_winding_path_is_one():
    path = torch.zeros(1, 33, 40, dtype=torch.long)
    path[0, ::2] = 1
    path[0, 1::4, -1] = 1
    path[0, 3::4, 0] = 1
    found = components(path)[path == 1]
    assert found.unique().tolist() == [0]


@pytest.mark.parametrize("background", [0, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_largest_components_are_scipys(shape, background):
    for seed in range(200):
        classes = random_classes(seed, shape)
        expected = largest_by_scipy(classes, background)
        assert torch.equal(keep_largest(classes, background), expected)
        assert torch.equal(largest_by_labels(classes, background), expected)
        assert torch.equal(largest_by_labels(classes, background, count=5), expected)
