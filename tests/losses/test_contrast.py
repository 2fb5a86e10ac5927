"""Contrastive losses against hand-worked arrays."""

from __future__ import annotations

import math

import pytest
import torch

from hinterland.losses.contrastive import (
    class_contrast,
    local_contrast,
    region_count,
    region_vectors,
)


def test_regions_are_cut_row_by_row_and_flattened():
    features = torch.arange(24.0).reshape(1, 1, 4, 6)
    assert region_count((4, 6), 2) == 6
    assert region_count((5, 7), 2) == 6  # what is left over belongs to no region
    found = region_vectors(features, 2, torch.tensor([0, 4]))
    assert found.tolist() == [[[0, 1, 6, 7], [14, 15, 20, 21]]]
    volume = torch.randn(2, 3, 4, 4, 4)
    one = region_vectors(volume, 2, torch.tensor([7]))
    assert torch.equal(one[1, 0], volume[1, :, 2:, 2:, 2:].flatten())


def test_local_contrast_by_hand():
    # two regions, orthogonal: sim 1 with itself, 0 with the other, tau = 1/2
    a = torch.tensor([[[2.0, 0.0], [0.0, 3.0]]])
    expected = -math.log(math.exp(2) / (math.exp(2) + 1))
    assert local_contrast(a, 5 * a, 0.5).item() == pytest.approx(expected)
    swapped = a.flip(1)
    expected = -math.log(1 / (math.exp(2) + 1))
    assert local_contrast(a, swapped, 0.5).item() == pytest.approx(expected)


def test_regions_of_other_images_are_no_negatives():
    a, b = torch.randn(1, 4, 3), torch.randn(1, 4, 3)
    both = local_contrast(torch.cat([a, b]), torch.cat([b, a]))
    apart = (local_contrast(a, b) + local_contrast(b, a)) / 2
    assert both.item() == pytest.approx(apart.item(), rel=1e-5)


def test_class_contrast_by_hand():
    # e1, e1, e2: the first two are of one class, tau = 1; the third has no partner
    z = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    expected = -math.log(math.e / (math.e + 1))
    assert class_contrast(z, torch.tensor([1, 1, 0]), 1.0).item() == pytest.approx(expected)
    # all of one class: the mean over both partners
    expected = (2 * (math.log(math.e + 1) - 0.5) + math.log(2)) / 3
    assert class_contrast(z, torch.tensor([1, 1, 1]), 1.0).item() == pytest.approx(expected)
    alone = class_contrast(z.requires_grad_(), torch.tensor([0, 1, 2]), 1.0)
    alone.backward()
    assert alone.item() == 0
    assert z.grad.isfinite().all()


@pytest.mark.parametrize("which", ["place", "class"])
def test_gradients_equal_finite_differences(which):
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, 3, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    classes = torch.tensor([0, 1, 0, 1, 2, 0])

    def loss(x):
        if which == "place":
            return local_contrast(x, b, 0.5)
        return class_contrast(x.flatten(0, 1), classes, 0.5)

    assert torch.autograd.gradcheck(loss, a.requires_grad_())
