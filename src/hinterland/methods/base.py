"""The contract between a method and the engine.

A method says which coarsenings its losses see. It builds networks, names phases, and at each step
turns a batch into named loss terms and views; the engine weighs, sums, logs and steps. It touches
no file and knows nothing of Lightning.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, final

from torch import Tensor, nn

from hinterland.labels import Coarsening, LabelSetTable, LabelSpec
from hinterland.losses.levels import LevelLosses
from hinterland.losses.segmentation import SegmentationLoss
from hinterland.methods.options import check_options
from hinterland.networks.base import Network
from hinterland.networks.in_parts import softmax_in_parts
from hinterland.networks.recipes import OptimiserRecipe
from hinterland.networks.registry import create
from hinterland.types import Batch, Plan, Progress, View

if TYPE_CHECKING:
    Coarsenings = tuple[Coarsening, ...]
else:
    Coarsenings = Coarsening | tuple[Coarsening, ...]
"""What a method's `on` is: a tuple, whether one coarsening was given or several."""

N = TypeVar("N", bound=nn.Module)
"""What a method builds: a container of its networks, usually a `networks.Networks`."""


@dataclass(frozen=True)
class Teacher:
    """A trained model that a method learns from, and never changes.

    Attributes:
        cells: what it tells apart, in the tree of the student's labels.
        networks: its weights, in evaluation mode.
        probabilities: (B, C, *space) -> (B, cells, *space), where `networks` are.
    """

    cells: Coarsening
    networks: nn.Module
    probabilities: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class BuildContext:
    """What a method is built for: the plan, the labels, the network and loss asked for, the seed.

    `loss` is a name of `losses.registry.LOSSES`; `virtual_dice`: see `PartitionLoss`. `teachers`
    are there while a method with `needs_teachers` is trained.
    """

    plan: Plan
    spec: LabelSpec
    label_sets: LabelSetTable
    network: str = "unet"
    network_options: Mapping[str, object] = field(default_factory=dict)
    deep_supervision: bool = True
    batch_dice: bool = True
    virtual_dice: bool = False
    seed: int = 0
    loss: str = "dice-ce"
    teachers: tuple[Teacher, ...] = ()

    def create_network(self, out_channels: int, *, seed_offset: int = 0) -> Network:
        """Return a fresh network of the kind asked for."""
        return create(
            self.network,
            self.plan,
            out_channels,
            self.deep_supervision,
            seed=self.seed + seed_offset,
            **self.network_options,  # type: ignore[arg-type]
        )

    def segmentation_loss(
        self, on: Sequence[Coarsening], cells: Coarsening, table: LabelSetTable | None = None
    ) -> SegmentationLoss:
        """Return L_seg at the coarsenings `on`, of the kind asked for.

        Args:
            on: the coarsenings that the loss sees.
            cells: what the network's channels stand for.
            table: default, the data set's label sets.

        Returns:
            A loss module without parameters.
        """
        return SegmentationLoss(
            on,
            cells,
            table or self.label_sets,
            batch_dice=self.batch_dice,
            virtual_dice=self.virtual_dice,
            loss=self.loss,
        )

    def level_losses(
        self, levels: Sequence[Coarsening], cells: Coarsening | None = None
    ) -> LevelLosses:
        """Return L_seg at every level of a tree, of the kind asked for; see `LevelLosses`."""
        return LevelLosses(
            levels,
            self.label_sets,
            cells=cells,
            batch_dice=self.batch_dice,
            virtual_dice=self.virtual_dice,
            loss=self.loss,
        )


@dataclass(frozen=True)
class Quota:
    """A share of every batch, drawn from the cases with these attributes.

    `where` may ask for `labelled` (bool), `scheme`, `domain` or `group` (text, or a tuple of
    texts); cases that `but` describes are left out. Shares are of the batch size; each stream has
    at least one item. With `hidden` its cases are drawn as if they had no label.
    """

    name: str
    share: float = 1.0
    where: Mapping[str, object] = field(default_factory=dict)
    hidden: bool = False
    but: Mapping[str, object] = field(default_factory=dict)


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
    """The terms of one step's loss, sum_n weights[n] terms[n]; a missing weight is 1."""

    terms: Mapping[str, Tensor]
    weights: Mapping[str, float] = field(default_factory=dict)
    views: Sequence[View] = ()

    @property
    def total(self) -> Tensor:
        """The weighted sum."""
        parts = [self.weights.get(name, 1.0) * term for name, term in self.terms.items()]
        return sum(parts[1:], start=parts[0])


class TrainableMethod(ABC, Generic[N]):
    """What the engine trains: a `Method`, or a `Classifier`.

    Immutable: all that training changes lives in the modules that `build` returns.

    A method is abstract or final: below this contract no concrete method is overridden. The hooks
    of the contract are the exception; each is overridden at most once in a line of classes:
    `phases`, `parameters`, `optimiser_recipes`, `after_step`, `ensemble_predictions`,
    `teacher_of`.
    """

    name: str

    @abstractmethod
    def build(self, context: BuildContext) -> N:
        """Return the networks (and lookup modules such as losses), initialised from the seed."""

    def phases(self) -> tuple[Phase, ...]:
        """Return the phases in order; their shares sum to 1."""
        return (Phase(),)

    @abstractmethod
    def losses(self, networks: N, batch: Batch, progress: Progress) -> Losses:
        """Return the terms of one step, for the optimiser that `progress` names.

        Args:
            networks: what `build` made.
            batch: composed by the phase's quotas.
            progress: phase, step and number of steps.

        Returns:
            Named terms, their weights, and views for regularisers.
        """

    def parameters(self, networks: N, optimiser: str) -> Iterator[nn.Parameter]:
        """Return what an optimiser of `phases` trains. Default: all that want gradients."""
        del optimiser
        return (p for p in networks.parameters() if p.requires_grad)

    def optimiser_recipes(self) -> Mapping[str, OptimiserRecipe]:
        """Return how optimisers with settings of their own step; the others, as the network's."""
        return {}

    def after_step(self, networks: N, progress: Progress) -> None:
        """Do what follows each step, such as moving averages."""


class Method(TrainableMethod[N]):
    """A recipe for segmentation.

    Subclasses are frozen dataclasses. Their options are checked by their types (see
    `methods.options`), and by the method `check` of each class that defines one.
    """

    on: Coarsenings
    """The coarsenings its losses see."""
    derived: ClassVar[tuple[str, ...]] = ()
    """Fields that `make_method` works out from the labels."""
    looks_again: ClassVar[bool] = False
    """Whether its views have `forward_features`."""
    is_softmax: ClassVar[bool] = False
    """Whether `probabilities` is the softmax of what `deployed` answers, and nothing else."""
    needs_teachers: ClassVar[bool] = False
    """Whether it learns from trained runs (`BuildContext.teachers`)."""

    @final
    def __post_init__(self) -> None:
        check_options(self.name, self)
        for kind in reversed(type(self).__mro__):
            if "check" in vars(kind):
                vars(kind)["check"](self)

    @property
    @final
    def options(self) -> dict[str, Any]:
        """All fields but `name`, `on` and the derived ones: `make_method` makes an equal one."""
        return {k: v for k, v in vars(self).items() if k not in ("name", "on", *self.derived)}

    @property
    @abstractmethod
    def cells(self) -> Coarsening:
        """What each channel of `probabilities` stands for."""

    @abstractmethod
    def probabilities(self, networks: N, image: Tensor) -> Tensor:
        """Return (B, cells, *spatial) of (B, C, *spatial), summing to one over cells."""

    @final
    def summed(self, networks: N, image: Tensor, then: Callable[[Tensor], Tensor]) -> Tensor:
        """Return `then(probabilities)`, worked out a part of the image at a time where that can be.

        Args:
            networks: what `build` made.
            image: (B, C, *spatial).
            then: (B, cells, ...) -> (B, groups, ...), voxel by voxel.

        Returns:
            (B, groups, *spatial).
        """
        if self.is_softmax:
            return softmax_in_parts(self.deployed(networks), image, then)
        return then(self.probabilities(networks, image))

    def ensemble_predictions(self, networks: N, image: Tensor) -> list[Tensor]:
        """Return all its answers for one image, each as `probabilities` gives its own.

        A method with several decoders or networks has several; where they differ, annotating
        teaches most.
        """
        return [self.probabilities(networks, image)]

    def teacher_of(self, networks: N) -> Callable[[Tensor], Tensor] | None:
        """Return how a teacher sees an image, as `probabilities` gives it; None without one."""
        del networks
        return None

    @abstractmethod
    def deployed(self, networks: N) -> Network:
        """Return the one network that inference needs; what `export` writes."""


class Regulariser(nn.Module, ABC):
    """An addition to any method: reads views, may have parameters of its own."""

    name: str

    @abstractmethod
    def forward(self, views: Sequence[View], progress: Progress) -> Losses:
        """Return its terms for one step; they are added to the method's."""

    def undecayed(self) -> tuple[nn.Parameter, ...]:
        """Return its parameters that must not decay, such as learned weights of losses."""
        return ()

    def strength(self, progress: Progress) -> float:
        """Return the weight of its terms at a step; where it leaves 0, selection starts anew."""
        del progress
        return 1.0
