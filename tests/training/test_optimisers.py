"""Which optimiser steps what, and how: recipes of networks, of methods, and overrides."""

from __future__ import annotations

import pytest

from hinterland.methods import Phase
from hinterland.methods.semi.sassnet import DISCRIMINATOR, ShapeAware
from hinterland.networks import OptimiserRecipe, recipe
from hinterland.training.config import OptimiserConfig, make_config
from hinterland.training.optimisation.optimisers import (
    learning_rate,
    refuse_unknown_optimisers,
    resolve_recipe,
    resolve_recipes,
)
from hinterland.types import HinterlandError

PHASE = Phase(optimisers=("main", "other"))
OWN = {"other": OptimiserRecipe("adam", 1e-4, 0.0, power=0.0)}


def test_the_main_optimiser_is_the_networks_with_overrides():
    config = make_config({"network": "vnet", "optimiser": {"lr": 0.05}})
    main = resolve_recipe(config)
    found = resolve_recipes(config, main, PHASE, OWN)
    assert found["main"][0] == main
    assert (main.lr, main.momentum) == (0.05, recipe("vnet").momentum)


def test_a_further_optimiser_has_its_own_recipe_untouched_by_the_main_ones_overrides():
    config = make_config({"optimiser": {"lr": 0.05, "clip": 1.0}})
    main = resolve_recipe(config)
    settings, options = resolve_recipes(config, main, PHASE, OWN)["other"]
    assert settings == OWN["other"]
    assert options.clip == OptimiserConfig().clip
    assert learning_rate(settings, options, 90, 100) == 1e-4  # power 0: constant
    assert resolve_recipes(config, main, PHASE, {})["other"][0] == main


def test_a_further_optimiser_can_be_set_by_name():
    config = make_config({"optimisers": {"other": {"lr": 3e-4, "optimiser": "adamw"}}})
    settings, _ = resolve_recipes(config, resolve_recipe(config), PHASE, OWN)["other"]
    assert (settings.optimiser, settings.lr, settings.power) == ("adamw", 3e-4, 0.0)


def test_a_name_that_no_phase_has_is_refused():
    config = make_config({"optimisers": {"judge": {"lr": 3e-4}}})
    with pytest.raises(HinterlandError, match="beside its main one: other"):
        refuse_unknown_optimisers(config, [PHASE])
    with pytest.raises(HinterlandError, match="one only"):
        refuse_unknown_optimisers(config, [Phase()])
    refuse_unknown_optimisers(make_config({"optimisers": {"other": {"lr": 3e-4}}}), [PHASE])


def test_sassnets_discriminator_has_adam_at_a_constant_rate():
    settings = ShapeAware.optimiser_recipes(ShapeAware(()))[DISCRIMINATOR]
    assert (settings.optimiser, settings.lr) == ("adam", 1e-4)
    assert learning_rate(settings, OptimiserConfig(), 999, 1000) == 1e-4
