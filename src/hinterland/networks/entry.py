"""What the registry knows of a network: how it is built, trained and fed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Protocol, runtime_checkable

from hinterland.networks.base import Network
from hinterland.networks.recipes import OptimiserRecipe
from hinterland.types import Plan

PatchMultiple = Callable[[Plan], tuple[int, ...]]


@runtime_checkable
class NetworkFactory(Protocol):
    """Builds a freshly initialised network for a plan."""

    def __call__(
        self,
        plan: Plan,
        out_channels: int,
        *,
        features: tuple[int, int] | None,
        norm: str | None,
        deep_supervision: bool,
        seed: int,
    ) -> Network:
        """Return the network.

        Args:
            plan: its `dims`, `channels`, `patch_size` and `network` say what is needed.
            out_channels: channels of the logits.
            features: width of the highest level and upper limit of all widths; None is the
                network's own choice.
            norm: "instance" or "batch"; None is the network's own.
            deep_supervision: whether `logits` has an entry a level; only where the recipe has it.
            seed: of the initial weights; equal seeds give equal weights.
        """


def of_plan(plan: Plan) -> tuple[int, ...]:
    """Return the product of the plan's strides along each axis."""
    return tuple(prod(steps) for steps in zip(*plan.network.strides, strict=True))


def always(multiple: int) -> PatchMultiple:
    """Return the rule of a network that divides every axis by `multiple`, whatever the plan."""
    return lambda plan: (multiple,) * plan.dims


@dataclass(frozen=True)
class NetworkEntry:
    """A network of the registry.

    Attributes:
        factory: builds it.
        recipe: optimiser, schedule and whether it has deep supervision.
        patch_multiple: what each edge of a patch must be a multiple of.
        splits: whether encoder, decoder and head can be had apart (see `SplitNetwork`).
        maps: whether it shows named feature maps all the same; one that splits has them anyway.
    """

    factory: NetworkFactory
    recipe: OptimiserRecipe
    patch_multiple: PatchMultiple = of_plan
    splits: bool = True
    maps: bool = False
