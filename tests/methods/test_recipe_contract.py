"""Every method and every network trains with every named recipe."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from contract_cases import OPTIONS, SPEC, batch_for, context_for
from recipe_steps import STEPS, trained

from hinterland.methods import make_method, method_names
from hinterland.networks import Network, create, network_names, recipe
from hinterland.training.config import make_config
from hinterland.training.optimisation.optimisers import (
    learning_rate,
    make_optimiser,
    resolve_recipe,
)
from hinterland.training.optimisation.recipes import RECIPES

OWN_WIDTHS = (
    "segresnet", "swinunetr", "vnet", "unet-ssl4mis", "attention-unet", "cmunet", "nucleisegnet",
    "transunet", "swinunet", "fcn-resnet50", "fcn-seresnet50", "deeplabv3",
)  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("method_name", method_names())
def test_every_method_learns_with_every_recipe(method_name, name):
    method = make_method(method_name, SPEC, options=OPTIONS.get(method_name))
    context = context_for(2)
    networks = method.build(context)
    for phase in method.phases():
        losses = trained(
            method, networks, phase, batch_for(phase, context), make_config({"recipe": name})
        )
        assert all(torch.isfinite(torch.tensor(losses)))
        assert min(losses[-3:]) < losses[0], losses


def _network_case(name: str) -> tuple[Network, tuple[int, ...]]:
    patch = (32, 64) if name in ("swinunetr", "swinunet") else (32, 32)
    plan = replace(context_for(2).plan, patch_size=patch)
    small = {"features": (8, 8)} if name in OWN_WIDTHS else {}
    return create(name, plan, 2, recipe(name).deep_supervision, **small), plan.patch_size


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("network_name", network_names())
def test_every_network_learns_with_every_recipe(network_name, name):
    network, patch = _network_case(network_name)
    config = make_config({"recipe": name, "network": network_name})
    settings = resolve_recipe(config)
    optimiser = make_optimiser(settings, network.parameters(), network)
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 1, *patch, generator=generator)
    truth = (F.avg_pool2d(image, 5, 1, 2)[:, 0] > 0).long()
    before = {n: p.detach().clone() for n, p in network.named_parameters()}
    network.train()
    losses = []
    for step in range(STEPS):
        torch.manual_seed(0)  # the same dropout, so that losses compare
        for group in optimiser.param_groups:
            rate = learning_rate(settings, config.optimiser, step, STEPS)
            group["lr"] = rate * group.get("lr_share", 1)
        loss = F.cross_entropy(network.logits(image)[0], truth)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.optimiser.clip)
        optimiser.step()
        losses.append(float(loss.detach()))
    assert all(torch.isfinite(torch.tensor(losses)))
    assert min(losses[-3:]) < losses[0], losses
    unmoved = [
        n
        for n, p in network.named_parameters()
        if p.grad is not None and p.grad.any() and torch.equal(p, before[n])
    ]
    assert not unmoved, "with a gradient and in no group"
