"""Averaged weights against the formula."""

from __future__ import annotations

import torch
from torch import nn

from hinterland.training.optimisation.averaging import Weights


def network() -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict({"net": nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))})


def test_the_average_is_the_exponential_one_and_begins_with_the_first_step():
    networks = network()
    weights, kernel = Weights(networks, 0.9), networks["net"][0].weight
    expected = None
    for step in range(4):
        with torch.no_grad():
            kernel.add_(torch.full_like(kernel, 0.5 + step))
            networks["net"](torch.randn(2, 1, 8, 8))  # moves the running means
        expected = kernel.clone() if expected is None else 0.9 * expected + 0.1 * kernel.detach()
        weights.update()
    found = weights.deployed["net"]
    torch.testing.assert_close(found[0].weight, expected)
    assert not torch.equal(found[1].running_mean, networks["net"][1].running_mean)
    assert found[1].running_mean.any()


def test_without_an_average_the_trained_weights_are_deployed():
    networks = network()
    weights = Weights(networks, 0.0)
    weights.update()
    assert weights.deployed is networks
    assert set(weights.state()) == {"networks"}


def test_a_checkpoint_is_restored_into_both():
    networks = network()
    weights = Weights(networks, 0.5)
    for _ in range(3):
        with torch.no_grad():
            networks["net"][0].weight.mul_(2)
        weights.update()
    other = Weights(network(), 0.5)
    other.restore(weights.state())
    for one, two in ((weights, other),):
        for part in ("trained", "deployed"):
            states = [getattr(w, part).state_dict() for w in (one, two)]
            assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    with torch.no_grad():
        for w in (weights, other):
            w.trained["net"][0].weight.add_(1)
            w.update()
    assert torch.equal(weights.deployed["net"][0].weight, other.deployed["net"][0].weight)
