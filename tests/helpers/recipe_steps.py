"""A whole schedule of a named recipe, in a few steps on one batch."""

from __future__ import annotations

import torch

from hinterland.methods import Phase
from hinterland.methods.base import TrainableMethod
from hinterland.networks.recipes import OptimiserRecipe
from hinterland.training.config import TrainConfig
from hinterland.training.optimisation.optimisers import (
    learning_rate,
    make_optimiser,
    resolve_recipe,
    resolve_recipes,
)
from hinterland.types import Batch, Progress

STEPS = 12


def trained(
    method: TrainableMethod,
    networks: torch.nn.ModuleDict,
    phase: Phase,
    batch: Batch,
    config: TrainConfig,
    own: OptimiserRecipe | None = None,
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
