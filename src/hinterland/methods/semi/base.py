"""What the semi-supervised field shares: two streams, one supervised loss, one deployed network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar, final

import torch
from torch import Tensor, nn

from hinterland.labels import Coarsening, common_refinement
from hinterland.methods.base import Method, Phase, Quota
from hinterland.methods.options import Share
from hinterland.methods.parts.streams import Unlabelled, split_streams, two_streams
from hinterland.methods.parts.strong_augmentation import strong
from hinterland.networks.base import Network
from hinterland.types import Batch, HinterlandError, View

N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True)
class SemiSupervised(Method[N]):
    """L_seg on the labelled stream, and what a method adds on both.

    L_seg is averaged over the coarsenings `on`; the network has a channel a cell of their common
    refinement.

    Attributes:
        labelled_share: of each batch.
        unlabelled: see `two_streams`; with "coarse", what labels the second stream has are learnt
            from, too.
        fine, coarse: names of the annotation schemes that do and do not tell the cells apart.
    """

    derived: ClassVar[tuple[str, ...]] = ("fine", "coarse")

    on: tuple[Coarsening, ...]
    name: str = ""
    labelled_share: Share = 0.5
    unlabelled: Unlabelled = "rest"
    fine: tuple[str, ...] = ()
    coarse: tuple[str, ...] = ()

    def check(self) -> None:
        """Refuse a coarse stream without a fine one.

        Raises:
            HinterlandError: there is none.
        """
        if self.unlabelled == "coarse" and not self.fine:
            raise HinterlandError(
                f"{self.name}: unlabelled='coarse' needs an annotation scheme that tells all of "
                f"({self.cells}) apart, and labels.yaml has none."
            )

    @property
    @final
    def cells(self) -> Coarsening:
        return common_refinement(self.on)

    @property
    @final
    def streams(self) -> tuple[Quota, Quota]:
        """The labelled and the unlabelled part of a batch."""
        return two_streams(self.unlabelled, self.labelled_share, self.fine, self.coarse)

    @abstractmethod
    def phases(self) -> tuple[Phase, ...]:
        """Return the phases; see `TrainableMethod.phases`."""

    @final
    def join(self, batch: Batch) -> Joined:
        """Return the two streams of a batch for one pass through a network."""
        labelled, other = split_streams(batch)
        annotation = labelled.annotation
        if self.unlabelled == "coarse":
            annotation = torch.cat([annotation, other.annotation])
        image = torch.cat([labelled.image, other.image])
        return Joined(image, annotation, len(labelled.image), labelled.domain + other.domain)


@dataclass(frozen=True)
class OnePhase(SemiSupervised[N]):
    """A method that sees both streams from the first step to the last.

    `optimisers` names those that step; see `Phase`.
    """

    optimisers: ClassVar[tuple[str, ...]] = ("main",)
    is_softmax: ClassVar[bool] = True

    @final
    def phases(self) -> tuple[Phase, ...]:
        return (Phase(quotas=self.streams, optimisers=self.optimisers),)

    @final
    def probabilities(self, networks: N, image: Tensor) -> Tensor:
        return self.deployed(networks)(image).float().softmax(dim=1)

    @abstractmethod
    def deployed(self, networks: N) -> Network:
        """Return the network whose softmax is the answer."""


@dataclass(frozen=True)
class Joined:
    """The items of a batch: first those of the labelled stream, `first` in number, then the others.

    `annotation` is of the items whose labels are learnt from: the labelled stream, or all.
    """

    image: Tensor
    annotation: Tensor
    first: int
    domain: tuple[str, ...]

    def labelled(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Return the items that `annotation` belongs to, of each of these tensors."""
        return [level[: len(self.annotation)] for level in levels]

    def unlabelled(self, values: Tensor) -> Tensor:
        """Return the items of the unlabelled stream."""
        return values[self.first :]

    def with_strong_views(self) -> Joined:
        """Return the same, the unlabelled stream's images as strong views of themselves."""
        changed = strong(self.unlabelled(self.image))
        return replace(self, image=torch.cat([self.image[: self.first], changed]))

    def view(self, logits: Tensor, features: Mapping[str, Tensor]) -> View:
        """Return what regularisers read: label set 0 ("any leaf") on what has no label."""
        shape = (len(self.image) - len(self.annotation), *self.annotation.shape[1:])
        annotation = torch.cat([self.annotation, self.annotation.new_zeros(shape)])
        return View(self.image, logits, annotation, features=features, domain=self.domain)
