"""Optimisers and schedules: the network's recipe, with what the user overrides."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import nn

from hinterland.networks.recipes import OptimiserRecipe, recipe
from hinterland.training.config import OptimiserConfig, TrainConfig


def resolve_recipe(config: TrainConfig, own: OptimiserRecipe | None = None) -> OptimiserRecipe:
    """The recipe of the configured network (or `own`) with the user's overrides.

    Another optimiser than the recipe's does not inherit what belongs to the recipe's own kind:
    Adam takes no momentum, SGD no eps.
    """
    own = own or recipe(config.network)
    given = {
        k: v
        for k, v in config.optimiser.model_dump(exclude={"warmup", "clip"}).items()
        if v is not None
    }
    return replace(own, **given)


def make_optimiser(
    settings: OptimiserRecipe, parameters: Iterable[nn.Parameter]
) -> torch.optim.Optimizer:
    """SGD, Adam or AdamW over the parameters."""
    chosen = list(parameters)
    rate, decay = settings.lr, settings.weight_decay
    if settings.optimiser == "sgd":
        return torch.optim.SGD(
            chosen, rate, settings.momentum, weight_decay=decay, nesterov=settings.nesterov
        )
    kind = torch.optim.Adam if settings.optimiser == "adam" else torch.optim.AdamW
    return kind(chosen, rate, eps=settings.eps, weight_decay=decay)


def learning_rate(
    settings: OptimiserRecipe, options: OptimiserConfig, step: int, steps: int
) -> float:
    """The learning rate of a step, a pure function: a resumed run needs no scheduler state.

    With t = step / steps: poly lr (1 - t)^power; linear lr (1 - t); cosine
    min_lr + (lr - min_lr)(1 + cos pi t)/2. `options.warmup` steps rise linearly before it.
    """
    t = step / max(steps, 1)
    if settings.schedule == "cosine":
        swing = (1 + math.cos(math.pi * t)) / 2
        rate = settings.min_lr + (settings.lr - settings.min_lr) * swing
    else:
        power = settings.power if settings.schedule == "poly" else 1.0
        rate = max(settings.lr * (1 - t) ** power, settings.min_lr)
    return rate * min(1.0, (step + 1) / options.warmup) if options.warmup else rate
