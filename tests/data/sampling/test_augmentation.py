# ruff: noqa: NPY002 (global generators are what some tests disturb)
"""Augmentation: image and annotation move together, nothing global changes, nothing is invented."""

import pickle

import numpy as np
import pytest
import torch
from factories import plan_of

from hinterland.data.sampling.augmentation import AUGMENTATIONS, Unchanged, augment
from hinterland.data.sampling.seeding import seeded_globally
from hinterland.training.config import make_config
from hinterland.types import HinterlandError, Normalisation

PATCHES = [(24, 24, 24), (6, 32, 32), (32, 32), (20, 36)]


def a_plan(patch, channels=1, masked=False):
    normalisation = (Normalisation("zscore", masked=masked),) * channels
    return plan_of(patch, (8,), ("MR",) * channels, normalisation=normalisation)


def blocks(size, rows=5, channels=1):
    """An annotation of big blocks and an image that equals it, channel by channel."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(1, rows, [-(-s // 8) for s in size])
    for axis in range(len(size)):
        coarse = np.repeat(coarse, 8, axis=axis)
    annotation = coarse[tuple(slice(0, s) for s in size)].astype(np.int16)
    return np.stack([annotation.astype(np.float32)] * channels), annotation


def only_spatial(augmentation, always=True):
    """The same augmentation without changes of intensity, turning and scaling every sample."""
    chain = augmentation.transform.transforms
    kept = [t for t in chain if type(t).__name__ != "RandomTransform"]
    for transform in kept:
        if type(transform).__name__ == "SpatialTransform":
            transform.p_rotation = transform.p_scaling = float(always)
    augmentation.transform.transforms = kept
    return augmentation


@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize("level", ["nnunet", "flips", "none"])
def test_shape_type_and_finite_values(patch, level):
    augmentation = augment(a_plan(patch, channels=3), level)
    rng = np.random.default_rng(0)
    for seed in range(30):
        image = rng.standard_normal((3, *augmentation.draw_size)).astype(np.float32)
        rows = rng.integers(0, 4, augmentation.draw_size).astype(np.int16)
        pixels, annotation = augmentation(image, rows, np.random.default_rng(seed))
        assert pixels.shape == (3, *patch)
        assert pixels.dtype == torch.float32
        assert annotation.shape == patch
        assert annotation.dtype == torch.int16
        assert torch.isfinite(pixels).all()
        assert 0 <= annotation.min() <= annotation.max() < 4


@pytest.mark.parametrize("patch", PATCHES)
def test_a_constant_patch_stays_finite(patch):
    augmentation = augment(a_plan(patch))
    for seed in range(40):
        image = np.zeros((1, *augmentation.draw_size), np.float32)
        rows = np.zeros(augmentation.draw_size, np.int16)
        pixels, annotation = augmentation(image, rows, np.random.default_rng(seed))
        assert torch.isfinite(pixels).all()
        assert (annotation == 0).all()


@pytest.mark.parametrize("patch", PATCHES)
def test_annotation_moves_with_the_image(patch):
    """Image = annotation: inside blocks they agree to rounding, and rows are never blended."""
    augmentation = only_spatial(augment(a_plan(patch)))
    image, rows = blocks(augmentation.draw_size)
    moved = 0
    for seed in range(20):
        pixels, annotation = augmentation(image.copy(), rows, np.random.default_rng(seed))
        assert set(annotation.unique().tolist()) <= {0, 1, 2, 3, 4}
        seen = annotation > 0
        agree = (pixels[0][seen] - annotation[seen]).abs() <= 0.5
        assert agree.float().mean() > 0.8  # the rest is linear blending along block edges
        exact = (pixels[0][seen] - annotation[seen]).abs() < 1e-4
        assert exact.float().mean() > 0.3
        shuffled = annotation.flip(-1)[seen]
        assert (pixels[0][seen] - shuffled).abs().mean() > 0.5  # and a wrong map would show
        centre = tuple(slice((d - p) // 2, (d - p) // 2 + p)
                       for d, p in zip(augmentation.draw_size, patch, strict=True))  # fmt: skip
        moved += not np.array_equal(annotation, rows[centre])
    assert moved == 20


@pytest.mark.parametrize("patch", [(24, 24, 24), (32, 20)])
def test_flips_and_quarter_turns_move_both_and_reach_every_pose(patch):
    augmentation = augment(a_plan(patch), "flips")
    rows = np.arange(np.prod(patch)).reshape(patch).astype(np.int32)
    poses = set()
    for seed in range(200):
        image = rows[None].astype(np.float32)
        pixels, annotation = augmentation(image, rows, np.random.default_rng(seed))
        assert torch.equal(pixels[0].short(), annotation)
        poses.add(tuple(annotation.flatten()[[0, 1]].tolist()))
    # a square plane has 8 poses (times 2 along z); a rectangle that keeps its shape has 4
    assert len(poses) == (16 if len(patch) == 3 else 4)


@pytest.mark.parametrize("patch", PATCHES)
def test_the_untouched_sample_is_the_centre_of_what_was_drawn(patch):
    augmentation = only_spatial(augment(a_plan(patch)), always=False)
    augmentation.transform.transforms.pop()  # mirroring
    image, rows = blocks(augmentation.draw_size)
    pixels, annotation = augmentation(image.copy(), rows, np.random.default_rng(0))
    low = [d // 2 - p // 2 for d, p in zip(augmentation.draw_size, patch, strict=True)]
    box = tuple(slice(a, a + p) for a, p in zip(low, patch, strict=True))
    np.testing.assert_array_equal(annotation, rows[box])
    np.testing.assert_array_equal(pixels[0], image[0][box])


def test_out_of_view_is_row_zero_and_zero_image():
    augmentation = only_spatial(augment(a_plan((32, 32))))
    augmentation.transform.transforms[0].scaling = (3.0, 3.0)
    image, rows = blocks(augmentation.draw_size)
    pixels, annotation = augmentation(image, rows, np.random.default_rng(0))
    outside = annotation == 0
    assert 0.1 < outside.float().mean() < 0.9
    deep = torch.nn.functional.avg_pool2d(outside[None].float(), 3, 1, 1)[0] > 0.999
    deep[0] = deep[-1] = False
    deep[:, 0] = deep[:, -1] = False
    assert deep.any()
    assert (pixels[0][deep] == 0).all()


def test_little_is_out_of_view_at_nnunets_own_angles_and_scales():
    for patch in ((24, 24, 24), (64, 64), (6, 32, 32)):
        augmentation = only_spatial(augment(a_plan(patch)))
        rows = np.ones(augmentation.draw_size, np.int16)
        image = np.ones((1, *rows.shape), np.float32)
        shares = [
            (augmentation(image.copy(), rows, np.random.default_rng(s))[1] == 0).float().mean()
            for s in range(30)
        ]
        assert np.mean(shares) < 0.05


def test_thick_slices_are_turned_in_their_plane_only():
    """Rows that number the slices stay on their slice (up to mirroring)."""
    augmentation = only_spatial(augment(a_plan((6, 32, 32))))
    assert augmentation.draw_size[0] == 6
    rows = np.broadcast_to(np.arange(1, 7)[:, None, None], augmentation.draw_size).astype(np.int16)
    for seed in range(10):
        image = rows[None].astype(np.float32)
        _, annotation = augmentation(image, rows, np.random.default_rng(seed))
        for z in range(6):
            assert len(set(annotation[z].unique().tolist()) - {0}) == 1


def test_same_generator_same_sample_whatever_the_global_state():
    augmentation = augment(a_plan((24, 24, 24), channels=2))
    image, rows = blocks(augmentation.draw_size, channels=2)
    results = []
    for state in (1, 2):
        np.random.seed(state)
        torch.manual_seed(state)
        results.append(augmentation(image.copy(), rows, np.random.default_rng([7, 0, 3, 1])))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    other = augmentation(image.copy(), rows, np.random.default_rng([7, 0, 3, 2]))
    assert not torch.equal(results[0][0], other[0])


def test_no_global_state_is_changed():
    augmentation = augment(a_plan((24, 24, 24)))
    image, rows = blocks(augmentation.draw_size)
    np.random.seed(3)
    torch.manual_seed(3)
    expected = np.random.random(4), torch.rand(4)
    np.random.seed(3)
    torch.manual_seed(3)
    threads = torch.get_num_threads()
    augmentation(image, rows, np.random.default_rng(0))
    np.testing.assert_array_equal(np.random.random(4), expected[0])
    assert torch.equal(torch.rand(4), expected[1])
    assert torch.get_num_threads() == threads


def test_global_state_is_restored_after_an_error():
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()
    torch.set_num_threads(2)
    with pytest.raises(RuntimeError), seeded_globally(np.random.default_rng(0)):  # noqa: PT012
        assert torch.get_num_threads() == 1
        torch.rand(3)
        np.random.random(3)
        raise RuntimeError
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before[2])
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])


def test_transforms_come_at_nnunets_rates():
    """Turned or scaled samples: 1 - .8 * .8 = 36 %; the chain names nnU-Net's transforms."""
    augmentation = augment(a_plan((16, 16)))
    chain = augmentation.transform.transforms
    rates = {
        type(t.transform).__name__: t.apply_probability for t in chain if hasattr(t, "transform")
    }
    assert rates == {
        "GaussianNoiseTransform": 0.1,
        "GaussianBlurTransform": 0.2,
        "MultiplicativeBrightnessTransform": 0.15,
        "ContrastTransform": 0.15,
        "SimulateLowResolutionTransform": 0.25,
        "GammaTransform": 0.3,
    }
    assert len(chain) == 9  # gamma twice, spatial and mirroring beside them
    _, rows = blocks(augmentation.draw_size, rows=200)
    low = [d // 2 - 8 for d in augmentation.draw_size]
    centre = rows[low[0] : low[0] + 16, low[1] : low[1] + 16]
    mirrored = [centre[::a, ::b] for a in (1, -1) for b in (1, -1)]
    turned = 0
    for seed in range(400):
        image = np.zeros((1, *rows.shape), np.float32)
        _, annotation = augmentation(image, rows, np.random.default_rng(seed))
        turned += not any(np.array_equal(annotation, m) for m in mirrored)
    assert 0.28 < turned / 400 < 0.44


def test_masked_channels_stay_zero_outside():
    augmentation = augment(a_plan((24, 24), channels=2, masked=True))
    for seed in range(30):
        image = np.zeros((2, *augmentation.draw_size), np.float32)
        image[:, : image.shape[1] // 2] = np.random.default_rng(0).normal(
            3, 1, (2, image.shape[1] // 2, image.shape[2])
        )
        rows = (image[0] != 0).astype(np.int16)
        pixels, annotation = augmentation(image, rows, np.random.default_rng(seed))
        assert (pixels[:, annotation == 0] == 0).all()


def test_survives_pickling():
    augmentation = augment(a_plan((24, 24)))
    image, rows = blocks(augmentation.draw_size)
    copy = pickle.loads(pickle.dumps(augmentation))
    a = augmentation(image.copy(), rows, np.random.default_rng(1))
    b = copy(image.copy(), rows, np.random.default_rng(1))
    assert torch.equal(a[0], b[0])


def test_unknown_level():
    with pytest.raises(HinterlandError, match="'heavy': expected one of nnunet, flips, none"):
        augment(a_plan((8, 8)), "heavy")


def test_one_from_outside_is_chosen_by_name(monkeypatch):
    monkeypatch.setattr(AUGMENTATIONS, "_entries", dict(AUGMENTATIONS._entries))
    with pytest.raises(HinterlandError, match=r"data\.augmentation"):
        make_config({"data": {"augmentation": "as-it-is"}})
    AUGMENTATIONS.register("as-it-is", lambda plan: Unchanged(plan.patch_size))
    assert make_config({"data": {"augmentation": "as-it-is"}}).data.augmentation == "as-it-is"
    assert augment(a_plan((16, 16)), "as-it-is") == Unchanged((16, 16))
