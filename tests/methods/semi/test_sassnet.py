"""SASSNet: what each of its two optimisers minimises, and which weights each moves."""

from __future__ import annotations

import math

import pytest
import torch
from semi_phantoms import LEAVES, batch, context

from hinterland.methods.parts.teacher import teacher_mode
from hinterland.methods.semi.sassnet import DISCRIMINATOR, ShapeAware
from hinterland.types import Progress


def test_both_sides_of_the_game():
    method = ShapeAware((LEAVES,))
    networks, items = method.build(context()), batch()
    z = networks.predict(items.image)[1]
    d = networks.discriminator(torch.cat([items.image, z], dim=1)).sigmoid()
    main = method.losses(networks, items, Progress("train", 5, 10))
    assert main.terms["adversarial"].item() == pytest.approx(-d[2:].log().mean().item(), abs=1e-5)
    assert main.weights["adversarial"] == pytest.approx(0.01 * math.exp(-5 / 4))
    other = method.losses(networks, items, Progress("train", 5, 10, DISCRIMINATOR))
    expected = -d[:2].log().mean() - (1 - d[2:]).log().mean()
    assert other.total.item() == pytest.approx(expected.item(), abs=1e-5)


def test_each_optimiser_moves_its_own_weights():
    method = ShapeAware((LEAVES,))
    networks = method.build(context())
    other = {id(p) for p in method.parameters(networks, DISCRIMINATOR)}
    main = {id(p) for p in method.parameters(networks, "main")}
    assert other == {id(p) for p in networks.discriminator.parameters()}
    assert main | other == {id(p) for p in networks.parameters()}
    assert not main & other
    method.losses(networks, batch(), Progress("train", 0, 10, DISCRIMINATOR)).total.backward()
    assert all(p.grad is None for p in networks.network.parameters())
    with teacher_mode(networks):
        assert not networks.network.training
    assert networks.network.training
