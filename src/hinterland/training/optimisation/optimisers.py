"""Optimisers and schedules: the network's recipe, with what the user overrides."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from hinterland.methods import Phase
from hinterland.networks import OptimiserRecipe, recipe
from hinterland.training.config import OptimiserConfig, TrainConfig
from hinterland.training.optimisation.muon import Muon, groups_by_role
from hinterland.training.optimisation.recipes import training_recipe
from hinterland.types import HinterlandError


def resolve_recipe(config: TrainConfig, own: OptimiserRecipe | None = None) -> OptimiserRecipe:
    """Return the named recipe for the configured network (or `own`) with the user's overrides.

    Another optimiser than the recipe's does not inherit what belongs to the recipe's own kind:
    Adam takes no momentum, SGD no eps.
    """
    named = training_recipe(config.recipe)
    return _overridden(named.optimiser(own or recipe(config.network)), config.optimiser)


def resolve_recipes(
    config: TrainConfig,
    main: OptimiserRecipe,
    phase: Phase,
    own: Mapping[str, OptimiserRecipe],
) -> dict[str, tuple[OptimiserRecipe, OptimiserConfig]]:
    """Return for each optimiser of the phase its recipe and the options for warm-up and clipping.

    The first has `main`, as `resolve_recipe` gives it. Another one has its own recipe, or `main`,
    and what `optimisers.NAME` of the configuration overrides.

    Args:
        config: the settings, with `optimiser` and `optimisers`.
        main: the recipe of the run.
        phase: whose optimisers are asked for.
        own: recipes that the method has for its further optimisers.

    Returns:
        Optimiser's name -> recipe and options.
    """
    first, *others = phase.optimisers
    found = {first: (main, config.optimiser)}
    for name in others:
        options = config.optimisers.get(name, OptimiserConfig())
        found[name] = (_overridden(own.get(name, main), options), options)
    return found


def refuse_unknown_optimisers(config: TrainConfig, phases: Sequence[Phase]) -> None:
    """Refuse a configuration that speaks of an optimiser which no phase has.

    Raises:
        HinterlandError: there is one.
    """
    known = {name for phase in phases for name in phase.optimisers[1:]}
    if unknown := sorted(set(config.optimisers) - known):
        raise HinterlandError(
            f"optimisers.{unknown[0]}: the method has "
            + (f"these beside its main one: {', '.join(sorted(known))}." if known else "one only.")
            + " The main one is set by `optimiser`."
        )


def _overridden(own: OptimiserRecipe, options: OptimiserConfig) -> OptimiserRecipe:
    given = options.model_dump(exclude={"warmup", "clip"})
    return replace(own, **{k: v for k, v in given.items() if v is not None})


def make_optimiser(
    settings: OptimiserRecipe,
    parameters: Iterable[nn.Parameter],
    networks: nn.Module,
    undecayed: Sequence[nn.Parameter] = (),
) -> torch.optim.Optimizer:
    """Make SGD, Adam, AdamW or Muon over the parameters.

    Args:
        settings: which one, and its rates.
        parameters: what is stepped, with weight decay.
        networks: they tell Muon which weights are hidden.
        undecayed: further parameters, a group of their own without decay.

    Returns:
        The optimiser.
    """
    rate, decay = settings.lr, settings.weight_decay
    plain: list[dict[str, Any]] = [{"params": list(undecayed), "weight_decay": 0.0}]
    if settings.optimiser == "muon":
        groups = groups_by_role(parameters, networks, settings.adam_share)
        groups += [{**g, "lr_share": settings.adam_share} for g in plain if undecayed]
        return Muon(groups, rate, momentum=settings.momentum, weight_decay=decay, eps=settings.eps)
    chosen = [{"params": list(parameters)}, *(plain if undecayed else [])]
    if settings.optimiser == "sgd":
        return torch.optim.SGD(
            chosen, rate, settings.momentum, weight_decay=decay, nesterov=settings.nesterov
        )
    kind = torch.optim.Adam if settings.optimiser == "adam" else torch.optim.AdamW
    return kind(chosen, rate, eps=settings.eps, weight_decay=decay)


def restore_optimiser(optimiser: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Load what an optimiser knew of its parameters, which must be in the same order.

    Groups and their settings stay the optimiser's own: they follow from the configuration, and an
    earlier version had other groups.
    """
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": saved["state"], "param_groups": groups})


def learning_rate(
    settings: OptimiserRecipe, options: OptimiserConfig, step: int, steps: int
) -> float:
    """Return the learning rate of a step.

    It is a pure function of the step, so that a resumed run needs no scheduler state.

    With t = step / steps: poly lr (1 - t)^power; linear lr (1 - t); cosine
    min_lr + (lr - min_lr)(1 + cos pi t)/2. `options.warmup` steps, or the recipe's share of the
    steps, rise linearly.

    Args:
        settings: the recipe: peak rate and schedule.
        options: warm-up.
        step: of the phase, from 0.
        steps: of the phase.

    Returns:
        The rate.
    """
    t = step / max(steps, 1)
    if settings.schedule == "cosine":
        swing = (1 + math.cos(math.pi * t)) / 2
        rate = settings.min_lr + (settings.lr - settings.min_lr) * swing
    else:
        power = settings.power if settings.schedule == "poly" else 1.0
        rate = max(settings.lr * (1 - t) ** power, settings.min_lr)
    warmup = options.warmup or round(settings.warmup_share * steps)
    return rate * min(1.0, (step + 1) / warmup) if warmup else rate
