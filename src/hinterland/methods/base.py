"""The contract between a method and the engine.

A method says which coarsenings its losses see. It builds networks, names phases, and at each step
turns a batch into named loss terms and views; the engine weighs, sums, logs and steps. It touches
no file and knows nothing of Lightning.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from hinterland.labels import Coarsening, LabelSetTable, LabelSpec
from hinterland.networks.base import Network
from hinterland.networks.recipes import OptimiserRecipe
from hinterland.types import Batch, Plan, Progress, View


@dataclass(frozen=True)
class BuildContext:
    """What a method is built for: the plan, the labels, the network asked for, the seed."""

    plan: Plan
    spec: LabelSpec
    label_sets: LabelSetTable
    network: str = "unet"
    network_options: Mapping[str, object] = field(default_factory=dict)
    deep_supervision: bool = True
    batch_dice: bool = True
    seed: int = 0

    def create_network(self, out_channels: int, *, seed_offset: int = 0) -> Network:
        """A fresh network of the kind asked for."""
        from hinterland.networks.registry import create

        return create(
            self.network,
            self.plan,
            out_channels,
            self.deep_supervision,
            seed=self.seed + seed_offset,
            **self.network_options,  # type: ignore[arg-type]
        )


@dataclass(frozen=True)
class Quota:
    """A share of every batch, drawn from the cases with these attributes.

    `where` may ask for `labelled` (bool), `scheme`, `domain` or `group` (text, or a tuple of
    texts). Shares are of the batch size; each stream has at least one item. With `hidden` its
    cases are drawn as if they had no label.
    """

    name: str
    share: float = 1.0
    where: Mapping[str, object] = field(default_factory=dict)
    hidden: bool = False


@dataclass(frozen=True)
class Phase:
    """A stretch of training: its share of the total steps, its batches, its optimisers.

    `start_from` is "last" (go on) or "best" (return to the best weights of the phase before, as
    selected on validation cases that are not reported; a run without such cases, trained on a fold
    number or "all", goes on from the last ones). Each of `optimisers` steps once per step, in
    order, with `Progress.optimiser` naming it.
    """

    name: str = "train"
    share: float = 1.0
    quotas: tuple[Quota, ...] = (Quota("labelled", where={"labelled": True}),)
    start_from: str = "last"
    optimisers: tuple[str, ...] = ("main",)


@dataclass(frozen=True)
class Losses:
    """What one step costs. The loss is sum_n weights[n] terms[n]; a missing weight is 1."""

    terms: Mapping[str, Tensor]
    weights: Mapping[str, float] = field(default_factory=dict)
    views: Sequence[View] = ()

    @property
    def total(self) -> Tensor:
        """The weighted sum."""
        parts = [self.weights.get(name, 1.0) * term for name, term in self.terms.items()]
        return sum(parts[1:], start=parts[0])


class TrainableMethod(ABC):
    """What the engine trains: a `Method`, or a `Classifier`.

    Immutable: all that training changes lives in the modules that `build` returns.
    """

    name: str

    @abstractmethod
    def build(self, context: BuildContext) -> nn.ModuleDict:
        """The networks (and lookup modules such as losses), freshly initialised from the seed."""

    def phases(self) -> tuple[Phase, ...]:
        """The phases in order; their shares sum to 1."""
        return (Phase(),)

    @abstractmethod
    def losses(self, networks: nn.ModuleDict, batch: Batch, progress: Progress) -> Losses:
        """The terms of one step, for the optimiser that `progress` names."""

    def parameters(self, networks: nn.ModuleDict, optimiser: str) -> Iterator[nn.Parameter]:
        """The parameters that an optimiser of `phases` trains. Default: all that want gradients."""
        del optimiser
        return (p for p in networks.parameters() if p.requires_grad)

    def optimiser_recipes(self) -> Mapping[str, OptimiserRecipe]:
        """How optimisers that need settings of their own step; the others, as the network's."""
        return {}

    def after_step(self, networks: nn.ModuleDict, progress: Progress) -> None:  # noqa: B027
        """Called after each step, for moving averages and the like."""


class Method(TrainableMethod):
    """A recipe for segmentation."""

    on: tuple[Coarsening, ...]
    """The coarsenings its losses see."""
    derived: ClassVar[tuple[str, ...]] = ()
    """Fields that `make_method` works out from the labels."""
    looks_again: ClassVar[bool] = False
    """Whether its views have `forward_features`."""

    @property
    def options(self) -> dict[str, Any]:
        """The fields that a user may set: with them and `on`, `make_method` makes an equal one."""
        return {k: v for k, v in vars(self).items() if k not in ("name", "on", *self.derived)}

    @property
    @abstractmethod
    def cells(self) -> Coarsening:
        """What each channel of `probabilities` stands for."""

    @abstractmethod
    def probabilities(self, networks: nn.ModuleDict, image: Tensor) -> Tensor:
        """(B, C, *spatial) -> (B, cells, *spatial), summing to one over cells."""

    def ensemble_predictions(self, networks: nn.ModuleDict, image: Tensor) -> list[Tensor]:
        """All its opinions of one image, each as `probabilities` gives its own.

        A method with several decoders or networks overrides this; where they differ, annotating
        teaches most.
        """
        return [self.probabilities(networks, image)]

    @abstractmethod
    def deployed(self, networks: nn.ModuleDict) -> Network:
        """The one network that inference needs; what `export` writes."""


class Regulariser(nn.Module, ABC):
    """An addition to any method: reads views, may have parameters of its own."""

    name: str

    @abstractmethod
    def forward(self, views: Sequence[View], progress: Progress) -> Losses:
        """Its terms for one step; they are added to the method's."""
