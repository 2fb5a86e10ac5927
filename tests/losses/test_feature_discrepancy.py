"""L_fd against a hand-worked example, finite differences, and what the paper says of it."""

from __future__ import annotations

import math

import pytest
import torch

from hinterland.losses.discrepancy import (
    FORMS,
    domain_discrepancy,
    exchanged_discrepancy,
    feature_discrepancy,
    pool_membership,
    rms_normalise,
    sides,
)

# One item, two channels, a row of four positions; the first and third are foreground.
FEATURES = torch.tensor([[[[1.0, 2.0, 3.0, 6.0]], [[0.0, 1.0, 4.0, 3.0]]]], dtype=torch.float64)
MASK = torch.tensor([[[[1.0, 0.0, 1.0, 0.0]]]], dtype=torch.float64)


def random_layer(seed: int, dims: int = 2, items: int = 3, groups: int = 2):
    generator = torch.Generator().manual_seed(seed)
    size = (4, 3, 2)[:dims]
    features = torch.randn(items, 5, *size, generator=generator, dtype=torch.float64)
    mask = (torch.rand(items, groups, *size, generator=generator) < 0.4).double()
    mask[(slice(None), slice(None), *(0,) * dims)] = 1
    mask[(slice(None), slice(None), *(-1,) * dims)] = 0
    return features, mask


def test_prototype_form_by_hand():
    # F_g = ((1 + 3)/2, (0 + 4)/2) = (2, 2); B_g = ((2 + 6)/2, (1 + 3)/2) = (4, 2); distance^2 = 4
    layer = sides(FEATURES, MASK, 1 - MASK)
    assert layer.foreground.tolist() == [[[2.0, 2.0]]]
    assert layer.background.tolist() == [[[4.0, 2.0]]]
    assert feature_discrepancy(layer, eps=0.0).item() == pytest.approx(-math.log(4))


def test_prototype_gradient_by_hand():
    # d/dF of -log ||d||^2 = -2 d / ||d||^2 dd/dF, d = (-2, 0): +1 x (1/2, -1/2) on channel 0.
    features = FEATURES.clone().requires_grad_()
    feature_discrepancy(sides(features, MASK, 1 - MASK), eps=0.0).backward()
    assert features.grad[0, 0, 0].tolist() == pytest.approx([0.5, -0.5, 0.5, -0.5])
    assert features.grad[0, 1, 0].tolist() == pytest.approx([0.0] * 4)


def test_map_and_sum_forms_by_hand():
    # channel means 1/2, 3/2, 7/2, 9/2: squares sum to 35
    assert feature_discrepancy(
        sides(FEATURES, MASK, 1 - MASK, "map"), eps=0.0
    ).item() == pytest.approx(-math.log(35))
    # sums (4, 4) and (8, 4), total (12, 8): distance^2 = 16 / 208
    assert feature_discrepancy(
        sides(FEATURES, MASK, 1 - MASK, "sum"), eps=0.0
    ).item() == pytest.approx(-math.log(16 / 208))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("form", FORMS)
def test_gradients_equal_finite_differences(form, dims):
    features, mask = random_layer(0, dims, items=2)

    def loss(f):
        layer = sides(f, mask, 1 - mask, form, normalise=True)
        return feature_discrepancy(layer) + exchanged_discrepancy(layer, 1)

    assert torch.autograd.gradcheck(loss, features.requires_grad_())


def test_the_literal_map_form_does_not_look_at_the_mask_and_the_prototype_form_does():
    features, mask = random_layer(1)
    _, other = random_layer(2)
    assert not torch.equal(mask, other)

    def value(m, form):
        return feature_discrepancy(sides(features, m, 1 - m, form), eps=0.0).item()

    assert value(mask, "map") == pytest.approx(value(other, "map"), abs=1e-12)
    assert value(mask, "map") == pytest.approx(
        -features.mean(1).square().sum((1, 2)).log().mean().item(), abs=1e-12
    )
    assert abs(value(mask, "prototype") - value(other, "prototype")) > 1e-2


def test_lemma_1_on_the_quantity_of_its_proof():
    """C.1 takes the prediction for the feature: F = p >= 0, k = (sum p + sum y) / sum p.

    Then FD = ||F_g - B_g|| of the sum form is |k Dice - 1| and -log(k Dice + 1) <= -log FD always
    (triangle inequality). The lemma's printed bound, -log(Dice (k + 1)), needs more: it holds where
    Dice (2k + 1) >= 1, and fails for a prediction that misses.
    """
    held = failed = 0
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        y = (torch.rand(1, 1, 4, 4, generator=generator) < 0.3).double()
        p = torch.rand(1, 1, 4, 4, generator=generator, dtype=torch.float64)
        if seed % 4 == 0:
            p = p * (1 - y) + 0.01 * y  # misses nearly all of the foreground
        if not 0 < y.sum() < y.numel():
            continue
        layer = sides(p, y, 1 - y, "sum")
        loss = feature_discrepancy(layer, eps=0.0).item() / 2  # of the norm, not its square
        k = ((p.sum() + y.sum()) / p.sum()).item()
        dice = (2 * (p * y).sum() / (p.sum() + y.sum())).item()
        assert loss == pytest.approx(-math.log(abs(k * dice - 1)), abs=1e-6)
        assert -math.log(k * dice + 1) <= loss + 1e-9
        printed = -math.log(dice * (k + 1)) <= loss + 1e-9
        assert printed == (dice * (2 * k + 1) >= 1 - 1e-9)
        held, failed = held + printed, failed + (not printed)
    assert held > 50
    assert failed > 10


def test_gradient_of_lemma_2():
    """Of a linear layer F = W x: dL/dW = -2 / ||W dx||^2 (W dx) dx^T, dx = x_g - x_b. It shrinks as
    W grows: scaled by c, W has a c-th of the gradient."""
    x, mask = random_layer(9, items=1, groups=1)
    dx = sides(x, mask, 1 - mask)
    dx = (dx.foreground - dx.background)[0, 0]
    norms = []
    for scale in (1.0, 4.0):
        weight = torch.arange(15.0, dtype=torch.float64).reshape(3, 5).sin() * scale
        weight.requires_grad_()
        features = torch.einsum("oc,bcij->boij", weight, x)
        feature_discrepancy(sides(features, mask, 1 - mask), eps=0.0).backward()
        mapped = weight.detach() @ dx
        expected = -2 / mapped.square().sum() * torch.outer(mapped, dx)
        torch.testing.assert_close(weight.grad, expected)
        norms.append(weight.grad.norm().item())
    assert norms[1] == pytest.approx(norms[0] / 4)


def test_exchange_takes_the_partners_background():
    features, mask = random_layer(3, groups=1)
    layer = sides(features, mask, 1 - mask)
    front, back = layer.foreground[:, 0], layer.background[:, 0]
    expected = [-math.log((front[i] - back[(i + 2) % 3]).square().sum()) for i in range(3)]
    assert exchanged_discrepancy(layer, 2, eps=0.0).item() == pytest.approx(sum(expected) / 3)
    assert exchanged_discrepancy(layer, 3).item() == 0


def test_two_domains_exchange_their_backgrounds():
    features, mask = random_layer(4, groups=1)
    layer = sides(features, mask, 1 - mask)
    front, back = layer.foreground[:, 0], layer.background[:, 0]
    base, novel = torch.tensor([True, False, True]), torch.tensor([False, True, False])
    base_front, base_back = (front[0] + front[2]) / 2, (back[0] + back[2]) / 2
    expected = (base_front - back[1]).square().sum() + (front[1] - base_back).square().sum()
    found = domain_discrepancy(layer, base, novel, eps=0.0)
    assert found.item() == pytest.approx(-math.log(expected))
    assert domain_discrepancy(layer, torch.ones(3, dtype=torch.bool), ~base & ~novel).item() == 0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_empty_and_full_masks_contribute_nothing(form, fill):
    features, mask = random_layer(5)
    mixed = mask.clone()
    mixed[1:] = fill
    features.requires_grad_()
    layer = sides(features, mixed, 1 - mixed, form)
    first = sides(features[:1], mask[:1], 1 - mask[:1], form)
    assert feature_discrepancy(layer).item() == pytest.approx(feature_discrepancy(first).item())
    one_sided = torch.full_like(mask, fill)
    empty = sides(features, one_sided, 1 - one_sided, form)
    total = feature_discrepancy(empty) + exchanged_discrepancy(empty, 1)
    total.backward()
    assert total.item() == 0
    assert torch.equal(features.grad, torch.zeros_like(features))


def test_equal_features_on_both_sides_give_a_finite_loss_and_gradient():
    features = torch.ones(1, 2, 2, 2, requires_grad=True)
    mask = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
    loss = feature_discrepancy(sides(rms_normalise(features), mask, 1 - mask))
    loss.backward()
    assert math.isfinite(loss.item())
    assert features.grad.isfinite().all()
    zero = torch.zeros(1, 2, 2, 2, requires_grad=True)
    feature_discrepancy(sides(rms_normalise(zero), mask, 1 - mask, "sum")).backward()
    assert zero.grad.isfinite().all()


@pytest.mark.parametrize("form", FORMS)
def test_normalising_the_vectors_is_normalising_the_map(form):
    values, gradients = [], []
    for way in (0, 1):
        features, mask = random_layer(8)
        features.requires_grad_()
        layer = (
            sides(features, mask, 1 - mask, form, normalise=True)
            if way
            else sides(rms_normalise(features), mask, 1 - mask, form)
        )
        loss = feature_discrepancy(layer) + exchanged_discrepancy(layer, 1)
        loss.backward()
        values.append(loss.item())
        gradients.append(features.grad)
    assert values[0] == pytest.approx(values[1], rel=1e-6)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-5, atol=1e-8)


def test_scale_cannot_win_after_rms_normalisation():
    features, mask = random_layer(6)
    one, ten = (
        feature_discrepancy(sides(rms_normalise(f), mask, 1 - mask))
        for f in (features, features * 10)
    )
    assert one.item() == pytest.approx(ten.item(), abs=1e-4)


def test_membership_is_max_pooled_and_undecided_voxels_count_on_neither_side():
    member = torch.tensor([[[[1, 0, 0, 0, 0, 0, 1, 0]]]], dtype=torch.bool)
    decided = torch.tensor([[[[1, 0, 1, 1, 1, 0, 0, 1]]]], dtype=torch.bool)
    front, back = pool_membership(member, decided, (1, 4))
    assert front.flatten().tolist() == [1, 0, 0, 0]  # any voxel known to be inside
    assert back.flatten().tolist() == [0, 1, 0, 0]  # every voxel known to be outside
    front, back = pool_membership(member, decided, (1, 8))
    assert front.flatten().tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    assert back.flatten().tolist() == [0, 0, 1, 1, 1, 0, 0, 1]


def test_groups_are_independent_one_against_the_rest():
    features, mask = random_layer(7, dims=3, groups=3)
    together = feature_discrepancy(sides(features, mask, 1 - mask))
    apart = [
        feature_discrepancy(sides(features, mask[:, [g]], 1 - mask[:, [g]])).item()
        for g in range(3)
    ]
    assert together.item() == pytest.approx(sum(apart) / 3)
