"""Augmentation of batches against batchgeneratorsv2's: same functions, same distributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.intensity.contrast import ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.spatial.spatial import (
    SpatialTransform,
    create_affine_matrix_2d,
    create_affine_matrix_3d,
)
from patch_sets import a_plan
from scipy.stats import ks_2samp

from hinterland.data.on_device import intensity
from hinterland.data.on_device.nnunet_recipe import _turn_in_plane, _turn_in_space, nnunet_batches
from hinterland.data.on_device.warp import warp, warp_grid, warp_table
from hinterland.data.sampling.augmentation import augment
from hinterland.data.sampling.nnunet_settings import draw_size
from hinterland.data.sampling.seeding import seeded_globally

PATCHES = [(24, 20), (14, 12, 16), (5, 20, 18)]
DRAWS = 1000
FAR = 0.1
"""Kolmogorov's distance between two samples of 1,000: 2.2 sqrt(2 / n), which alike ones exceed in
one of 10,000 comparisons; a few hundred are made."""


def scene(size, channels=1, seed=0):
    """An image with edges, a gradient and texture, of unit scale, (C, *size) float32."""
    rng = np.random.default_rng(seed)
    grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in size), indexing="ij")
    ball = (sum(g**2 for g in grid) < 0.5).astype(float)
    images = [
        1.5 * ball + grid[-1] + 0.3 * rng.standard_normal(size) + 0.2 * c for c in range(channels)
    ]
    return np.stack([(i - i.mean()) / i.std() for i in images]).astype(np.float32)


def figures(image):
    """What is compared of an image: moments, range, quantiles, and how rough it is."""
    x = np.asarray(image, np.float64)
    steps = np.concatenate([np.abs(np.diff(x, axis=a)).ravel() for a in range(x.ndim)])
    quantiles = np.quantile(x, (0.05, 0.25, 0.5, 0.75, 0.95))
    return [x.mean(), x.std(), x.min(), x.max(), *quantiles, steps.mean(), steps.max()]


def compare(ours, theirs):
    """Compare two lists of figures, one a draw: distance of distributions, and moments."""
    ours, theirs = np.array(ours), np.array(theirs)
    assert len(ours) >= DRAWS
    assert len(theirs) >= DRAWS
    for column, (a, b) in enumerate(zip(ours.T, theirs.T, strict=True)):
        spread = max(b.std(), 1e-4)
        assert abs(a.mean() - b.mean()) < 0.2 * spread, column  # 4.5 standard errors
        assert 0.85 < (a.std() + 1e-4) / (b.std() + 1e-4) < 1.17, column
        rounded = (np.round(v, 4) for v in (a, b))
        assert ks_2samp(*rounded).statistic < FAR, column


# --- the same function where parameters are the same ----------------------------------------------


@pytest.mark.parametrize("size", PATCHES)
@pytest.mark.parametrize("sigma", [0.5, 0.62, 0.75, 0.9, 1.0])
def test_blur_is_theirs(size, sigma):
    image = torch.from_numpy(scene(size))
    sigmas = [sigma] + [0.8] * (len(size) - 1)
    transform = GaussianBlurTransform((0.5, 1.0))
    expected = transform._apply_to_image(
        image.clone(), apply_to_channel=torch.tensor([True]), sigmas=[sigmas]
    )
    found = intensity.blur(image, torch.tensor([sigmas]))
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("size", PATCHES)
def test_low_resolution_is_theirs(size):
    image = torch.from_numpy(scene(size))
    transform = SimulateLowResolutionTransform((0.5, 1), False, True, None)
    for share in np.linspace(0.5, 1, 23):
        scales = torch.tensor([[share] * len(size)], dtype=torch.float32)
        expected = transform._apply_to_image(
            image.clone(), apply_to_channel=torch.tensor([0]), scales=scales
        )
        kept = torch.tensor([[round(n * float(scales[0, 0])) for n in size]], dtype=torch.float32)
        found = intensity.lower_resolution(image, kept)
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("factor", [0.75, 0.9, 1.1, 1.25])
def test_contrast_is_theirs(factor):
    image = torch.from_numpy(scene((24, 20), 2))
    parameters = torch.tensor([factor, 1 / factor])
    expected = ContrastTransform((0.75, 1.25), True, False)._apply_to_image(
        image.clone(), apply_to_channel=torch.tensor([0, 1]), multipliers=parameters
    )
    found = intensity.change_contrast(image, parameters[:, None])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("exponent", [0.7, 0.9, 1.2, 1.5])
def test_gamma_is_theirs(exponent, inverted):
    image = torch.from_numpy(scene((24, 20), 2))
    image[1] = 3.0  # a constant channel stays one
    parameters = torch.tensor([exponent, 1.3])
    expected = GammaTransform((0.7, 1.5), 0, False, 1, 1)._apply_to_image(
        image.clone(), apply_to_channel=torch.tensor([0, 1]), gamma=parameters,
        retain_stats=torch.ones(2), invert_image=torch.full((2,), float(inverted)),
    )  # fmt: skip
    found = intensity.change_gamma(image, parameters[:, None], inverted=inverted)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("size", PATCHES)
@pytest.mark.parametrize(("mode", "channels"), [("bilinear", 2), ("nearest", 1)])
def test_turning_and_scaling_is_theirs(size, mode, channels):
    flat = len(size) == 2 or max(size) / size[0] > 3
    drawn, rng = draw_size(size), np.random.default_rng(0)
    image = torch.from_numpy(scene(drawn, channels))
    if mode == "nearest":
        image = (image * 3).round()
    angles, scale = rng.uniform(-3, 3, 3), 1.2
    if flat:
        matrix = create_affine_matrix_2d(angles[2], [scale] * 2)
        ours = _turn_in_plane(angles[None, 2]) * scale
    else:
        matrix = create_affine_matrix_3d(angles, [scale] * 3)
        ours = _turn_in_space(angles[None]) * scale
    np.testing.assert_allclose(ours[0], matrix, atol=1e-12)
    patch = size[-len(matrix) :]
    transform = SpatialTransform(
        patch, 0, False, p_rotation=1, rotation=(0.4, 0.4), mode_seg="nearest"
    )
    seen = image.flatten(0, 1) if flat and len(size) == 3 else image
    with seeded_globally(np.random.default_rng(0)):
        parameters = transform.get_parameters(image=seen)
    grid = transform._get_base_grid_clone() @ torch.from_numpy(matrix.T).float()
    parameters["grid"] = (grid / (torch.tensor(drawn[-len(matrix) :]) / 2)).flip(-1)
    apply = transform._apply_to_segmentation if mode == "nearest" else transform._apply_to_image
    expected = apply(seen, **parameters).view(channels, *size)
    theta = torch.from_numpy(warp_table(ours, size, drawn))
    found = warp(image[None], warp_grid(theta, patch), mode)[0]
    differ = (found - expected).abs() > 1e-3
    assert differ.float().mean() < 0.003  # a place between two voxels, rounded the other way


# --- the same distributions -----------------------------------------------------------------------

NAMES = {
    "GaussianNoiseTransform": "add_noise",
    "GaussianBlurTransform": "blur",
    "MultiplicativeBrightnessTransform": "brighten",
    "ContrastTransform": "change_contrast",
    "SimulateLowResolutionTransform": "lower_resolution",
    "GammaTransform": "change_gamma",
}


def our_steps(plan, items, seed=0):
    augmentation = nnunet_batches(plan)
    rng = np.random.default_rng(seed)
    channels = len(plan.channels)
    numbers = rng.random((items, augmentation.count(channels)))
    return augmentation.recipe(numbers, rng.integers(2**40, size=items).tolist(), channels).steps


def name_of(step):
    change = getattr(step.change, "func", step.change)
    return change.__name__, getattr(step.change, "keywords", {}).get("inverted", False)


@pytest.mark.parametrize("size", PATCHES)
@pytest.mark.parametrize("number", range(7))
def test_each_change_of_intensity_is_distributed_alike(size, number):
    plan = a_plan(size)
    chain = [t.transform for t in augment(plan).transform.transforms if hasattr(t, "transform")]
    theirs, image = chain[number], torch.from_numpy(scene(size))
    wanted = NAMES[type(theirs).__name__], bool(getattr(theirs, "p_invert_image", 0))
    results, drawn = [], 0
    with seeded_globally(np.random.default_rng(number)):
        while len(results) < DRAWS:
            changed = theirs(image=image.clone())["image"]
            drawn += 1
            if not torch.equal(changed, image):  # of blur and low resolution, half the channels
                results.append(figures(changed[0]))
    (step,) = (s for s in our_steps(plan, DRAWS * 24, number) if name_of(s) == wanted)
    parameters = torch.from_numpy(step.parameters)
    ours = step.change(image.expand(len(parameters), *size).clone(), parameters)
    ours = [i for i in ours if (i - image[0]).abs().max() > 1e-6]
    compare([figures(i) for i in ours[:DRAWS]], results)


@pytest.mark.parametrize("size", [*PATCHES, (3, 20, 18)])
def test_changes_come_at_the_same_rates_and_in_the_same_order(size):
    plan = a_plan(size, channels=2)
    chain = [t for t in augment(plan).transform.transforms if hasattr(t, "transform")]
    items = 20_000
    steps = our_steps(plan, items)
    assert [name_of(s)[0] for s in steps] == [NAMES[type(t.transform).__name__] for t in chain]
    for step, theirs in zip(steps, chain, strict=True):
        per_channel = getattr(theirs.transform, "p_per_channel", 1)
        assert len(step.rows) == len(set(step.rows.tolist()))
        changed = np.bincount(step.rows // 2, minlength=items)
        rate = theirs.apply_probability * per_channel
        assert abs(len(step.rows) / (2 * items) - rate) < 4 * np.sqrt(rate / (2 * items))
        both = theirs.apply_probability * per_channel**2
        assert abs((changed == 2).mean() - both) < 4 * np.sqrt(both / items)


@pytest.mark.parametrize("size", PATCHES)
def test_turned_and_scaled_items_are_distributed_alike(size):
    """Angles and scales, read off the matrices: 36 % of items are changed, 4 % by both."""
    plan, items = a_plan(size), 20_000
    augmentation = nnunet_batches(plan)
    numbers = np.random.default_rng(0).random((items, augmentation.count(1)))
    recipe = augmentation.recipe(numbers, [0] * items, 1)
    assert abs(len(recipe.warped) / items - 0.36) < 0.014
    assert abs(recipe.reverse.mean() - 0.5) < 0.01
    k = recipe.matrix.shape[-1]
    scale = np.linalg.det(recipe.matrix) ** (1 / k)
    theirs = next(t for t in augment(plan).transform.transforms if hasattr(t, "p_rotation"))
    found_scales, found_turns = [], []
    with seeded_globally(np.random.default_rng(1)):
        drawn = draw_size(size)[-k:]
        while len(found_scales) < DRAWS:
            affine = theirs.get_parameters(image=torch.zeros(1, *drawn))["affine"]
            if affine is not None:
                found_scales.append(np.linalg.det(affine) ** (1 / k))
                found_turns.append((affine / found_scales[-1]).ravel())
    turns = (recipe.matrix / scale[:, None, None]).reshape(len(scale), -1)
    rounded = (np.round(v, 6) for v in (scale, found_scales))
    assert ks_2samp(*rounded).statistic < FAR
    for ours, others in zip(turns.T, np.array(found_turns).T, strict=True):
        assert ks_2samp(np.round(ours, 6), np.round(others, 6)).statistic < FAR
