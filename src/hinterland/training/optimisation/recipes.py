"""Named training recipes: what `recipe` of a run means for its optimiser and its other settings.

A recipe lies between the defaults and what the user sets: `--set optimiser.lr=...` always wins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel

from hinterland.networks.recipes import MUON, NNUNET, OptimiserRecipe
from hinterland.training.config import TrainConfig
from hinterland.types import HinterlandError


@dataclass(frozen=True)
class TrainingRecipe:
    """A recipe by name.

    Attributes:
        summary: one line for the user.
        optimiser: from the network's own recipe (or a classifier's) to the one that is used.
        settings: defaults of `TrainConfig`, nested, where the user sets nothing.
    """

    summary: str
    optimiser: Callable[[OptimiserRecipe], OptimiserRecipe]
    settings: Mapping[str, Any] = field(default_factory=dict)


def _keep(own: OptimiserRecipe) -> OptimiserRecipe:
    return own


def _nnunet(own: OptimiserRecipe) -> OptimiserRecipe:
    return replace(NNUNET, deep_supervision=own.deep_supervision)


def _fast(own: OptimiserRecipe) -> OptimiserRecipe:
    return replace(MUON, deep_supervision=own.deep_supervision)


RECIPES: dict[str, TrainingRecipe] = {
    "fast": TrainingRecipe("Muon with linear decay, for hundreds to thousands of steps", _fast),
    "nnunet": TrainingRecipe("nnU-Net's: SGD with momentum 0.99 and poly decay", _nnunet),
    "paper": TrainingRecipe("what each network and method was published with", _keep),
}


def training_recipe(name: str) -> TrainingRecipe:
    """Return the recipe of this name.

    Raises:
        HinterlandError: there is none.
    """
    if name not in RECIPES:
        listed = "; ".join(f"{n} ({r.summary})" for n, r in RECIPES.items())
        raise HinterlandError(f"recipe {name!r}: expected one of {listed}.")
    return RECIPES[name]


def with_recipe(config: TrainConfig) -> TrainConfig:
    """Return the configuration with its recipe's settings where it leaves them open."""
    return _filled(config, training_recipe(config.recipe).settings)


def _filled(model: Any, defaults: Mapping[str, Any]) -> Any:
    found = {}
    for name, value in defaults.items():
        present = getattr(model, name)
        if isinstance(present, BaseModel):
            found[name] = _filled(present, value)
        elif name not in model.model_fields_set:
            found[name] = value
    return model.model_copy(update=found)
