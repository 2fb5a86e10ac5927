"""Strong views: other intensities, nothing moved; and a mean teacher whose student sees them."""

from __future__ import annotations

import pytest
import torch
from semi_phantoms import LEAVES, SPEC, batch, context

from hinterland.methods import make_method
from hinterland.methods.parts import strong_augmentation as views
from hinterland.methods.parts.strong_augmentation import strong
from hinterland.methods.semi.mean_teacher import MeanTeacher
from hinterland.types import HinterlandError, Progress

STEP = Progress("train", 5, 10)


@pytest.mark.parametrize("space", [(24, 20), (12, 10, 8)])
def test_shape_seed_and_range(space):
    image = torch.randn(5, 2, *space)
    torch.manual_seed(1)
    one = strong(image)
    torch.manual_seed(1)
    assert torch.equal(strong(image), one)
    assert not torch.equal(strong(image), one)
    assert one.shape == image.shape
    assert one.isfinite().all()
    changes = [(a - b).abs().mean() for a, b in zip(one, image, strict=True)]
    assert all(change > 0.05 for change in changes)
    assert len({round(float(change), 4) for change in changes}) == len(changes), "each its own"
    flat = strong(torch.full((2, 1, *space), 3.0), noise=0.0)
    assert flat.isfinite().all()
    assert all(item.max() - item.min() < 1e-4 for item in flat), "blurs keep the border, too"


@pytest.mark.parametrize("space", [(24, 20), (14, 12, 11)])
def test_without_blur_it_is_an_increasing_function_of_the_intensity(space, monkeypatch):
    """Voxel by voxel, so nothing moves: the order of the intensities stays."""
    monkeypatch.setattr(
        torch, "rand", lambda *shape, **_: torch.full(shape, 0.9)
    )  # no item is blurred
    image = torch.randn(3, 1, *space)
    for item, view in zip(image, strong(image, noise=0.0), strict=True):
        assert torch.equal(item.flatten().argsort(), view.flatten().argsort())
        low, high = item.min(), item.max()
        gamma, scale, shift = (
            a + 0.9 * (b - a) for a, b in (views.GAMMA, views.SCALE, views.SHIFT)
        )
        changed = ((item - low) / (high - low)) ** gamma * (high - low) + low
        assert torch.allclose(view, changed * scale + shift, atol=1e-5)


@pytest.mark.parametrize("space", [(21, 23), (13, 11, 15)])
def test_a_blur_spreads_a_voxel_evenly_around_its_place(space, monkeypatch):
    monkeypatch.setattr(
        torch, "rand", lambda *shape, **_: torch.full(shape, 0.4)
    )  # all are blurred
    image = torch.zeros(1, 1, *space)
    middle = tuple(n // 2 for n in space)
    image[(0, 0, *middle)] = 1
    view = strong(image, noise=0.0)[0, 0]
    background = view[(0,) * len(space)]
    assert torch.unravel_index(view.argmax(), view.shape) == middle
    around = view - background
    for axis in range(len(space)):
        assert torch.allclose(around, around.flip(axis), atol=1e-6)
    far = torch.ones_like(view, dtype=torch.bool)
    far[tuple(slice(m - 3, m + 4) for m in middle)] = False
    assert around[far].abs().max() < 1e-6


def test_the_student_sees_strong_views_of_unlabelled_images_and_the_teacher_the_images():
    method = MeanTeacher((LEAVES,), noise=0.0, perturbation="strong")
    networks, items = method.build(context()), batch()
    with torch.no_grad():
        for p in networks.teacher.parameters():
            p.mul_(0.5)
    torch.manual_seed(4)
    found = method.losses(networks, items, STEP)
    torch.manual_seed(4)
    seen = torch.cat([items.image[:2], strong(items.image[2:])])
    p = networks.network(seen).softmax(dim=1)
    taught = networks.teacher(items.image).softmax(dim=1)
    expected = (p - taught).square().mean().item()
    assert found.terms["consistency"].item() == pytest.approx(expected, abs=1e-7)
    assert torch.equal(found.views[0].image, seen)
    plain = MeanTeacher((LEAVES,), noise=0.0).losses(networks, items, STEP)
    assert torch.equal(plain.terms["seg"], found.terms["seg"]), "labelled images are as they were"
    assert not torch.equal(plain.terms["consistency"], found.terms["consistency"])
    assert torch.equal(plain.views[0].image, items.image)


def test_the_field_has_the_option_and_refuses_another_word():
    for name in ("mean-teacher", "ua-mt"):
        method = make_method(name, SPEC, ("top", "leaves"), {"perturbation": "strong"})
        total = method.losses(method.build(context()), batch(scheme="coarse"), STEP).total
        assert total.isfinite()
        with pytest.raises(HinterlandError, match=f"{name}: perturbation='odd'; expected one of"):
            make_method(name, SPEC, (), {"perturbation": "odd"})
