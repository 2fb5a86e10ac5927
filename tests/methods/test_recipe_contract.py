"""Every method, network and classifier trains with every named recipe."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from test_classifier_contract import batch_for as classifier_batch
from test_classifier_contract import setting_for as classifier_setting
from test_contract import SPEC, batch_for, setting_for

from hinterland.methods import Phase, make_method, method_names
from hinterland.methods.base import Recipe
from hinterland.methods.classifier import ImageClassifier
from hinterland.networks import NAMES, Network, create, recipe
from hinterland.networks.recipes import classifier_recipe
from hinterland.networks.registry import FIVE_LEVELS
from hinterland.training.config import make_config
from hinterland.training.optimise import (
    learning_rate,
    make_optimiser,
    resolve_recipe,
    resolve_recipes,
)
from hinterland.training.recipes import RECIPES
from hinterland.types import Batch, Progress

STEPS = 12


def trained(
    method: Recipe, networks: torch.nn.ModuleDict, phase: Phase, batch: Batch, config, own=None
) -> list[float]:
    """The main optimiser's loss at each step of a whole schedule, on one batch."""
    recipes = resolve_recipes(
        config, resolve_recipe(config, own), phase, method.optimiser_recipes()
    )
    optimisers = {
        name: make_optimiser(recipes[name][0], method.parameters(networks, name), networks)
        for name in phase.optimisers
    }
    networks.train()
    losses = []
    for step in range(STEPS):
        torch.manual_seed(0)
        for name, optimiser in optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(*recipes[name], step, STEPS) * group.get("lr_share", 1)
            progress = Progress(phase.name, step, STEPS, name)
            total = method.losses(networks, batch, progress).total
            optimiser.zero_grad()
            total.backward()
            parameters = [p for g in optimiser.param_groups for p in g["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, recipes[name][1].clip)
            optimiser.step()
            if name == phase.optimisers[0]:
                losses.append(float(total.detach()))
        method.after_step(networks, progress)
    return losses


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("method_name", method_names())
def test_every_method_learns_with_every_recipe(method_name, name):
    method, setting = make_method(method_name, SPEC), setting_for(2)
    networks = method.build(setting)
    for phase in method.phases():
        losses = trained(
            method, networks, phase, batch_for(phase, setting), make_config({"recipe": name})
        )
        assert all(torch.isfinite(torch.tensor(losses)))
        assert min(losses[-3:]) < losses[0], losses


def _network_case(name: str) -> tuple[Network, tuple[int, ...]]:
    plan = replace(setting_for(2).plan, patch_size=(32, 64) if name == "swinunetr" else (32, 32))
    small = {"features": (8, 8)} if name in ("segresnet", "swinunetr", *FIVE_LEVELS) else {}
    return create(name, plan, 2, recipe(name).deep_supervision, **small), plan.patch_size


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("network_name", NAMES)
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


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("by", ["small", "squeezenet", "pool", "simple", "complex"])
def test_classifiers_learn_with_every_recipe(by, name):
    classifier, setting = ImageClassifier(by), classifier_setting(2)
    networks = classifier.build(setting)
    losses = trained(
        classifier, networks, classifier.phases()[0], classifier_batch(setting),
        make_config({"recipe": name}), classifier_recipe(by),
    )  # fmt: skip
    assert all(torch.isfinite(torch.tensor(losses)))
    assert min(losses[-3:]) < losses[0], losses
