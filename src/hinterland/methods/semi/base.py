"""What the semi-supervised field shares: two streams, one supervised loss, one deployed network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from hinterland.labels import Coarsening, common_refinement
from hinterland.losses.decoder_losses import Foreground
from hinterland.methods.base import BuildContext, Method, Phase
from hinterland.methods.options import require_numbers, require_one_of
from hinterland.methods.semi.strong_augmentation import strong
from hinterland.methods.semi.teacher import UNLABELLED, split_streams, two_streams
from hinterland.networks.base import Network
from hinterland.types import Batch, HinterlandError, View


@dataclass(frozen=True)
class SemiSupervised(Method):
    """L_seg on the labelled stream, and what a method adds on both.

    L_seg = Dice + CE averaged over the coarsenings `on`; the network has a channel a cell of their
    common refinement. labelled_share: of each batch. unlabelled: see `two_streams`; with "coarse",
    what labels the second stream has are learnt from, too. fine, coarse: names of the annotation
    schemes that do and do not tell the cells apart.
    """

    choices: ClassVar[tuple[str, ...]] = (*UNLABELLED, "coarse")
    derived: ClassVar[tuple[str, ...]] = ("fine", "coarse")

    on: tuple[Coarsening, ...]
    name: str = ""
    labelled_share: float = 0.5
    unlabelled: str = "rest"
    fine: tuple[str, ...] = ()
    coarse: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_one_of(self.name, self, unlabelled=self.choices)
        if self.unlabelled == "coarse" and not self.fine:
            raise HinterlandError(
                f"{self.name}: unlabelled='coarse' needs an annotation scheme that tells all of "
                f"({self.cells}) apart, and labels.yaml has none."
            )
        require_numbers(self.name, self, "labelled_share", high=1.0)

    @property
    def cells(self) -> Coarsening:
        return common_refinement(self.on)

    def build(self, context: BuildContext) -> nn.ModuleDict:
        network = context.create_network(len(self.cells))
        supervision = Foreground(self.on, self.cells, context.label_sets, context.batch_dice)
        return nn.ModuleDict({"network": network, "supervision": supervision})

    def phases(self) -> tuple[Phase, ...]:
        streams = two_streams(self.unlabelled, self.labelled_share, self.fine, self.coarse)
        return (Phase(quotas=streams),)

    def join(self, batch: Batch) -> Joined:
        """The two streams of a batch for one pass through a network."""
        labelled, other = split_streams(batch)
        rows = labelled.annotation
        if self.unlabelled == "coarse":
            rows = torch.cat([rows, other.annotation])
        image = torch.cat([labelled.image, other.image])
        return Joined(image, rows, len(labelled.image), labelled.domain + other.domain)

    def probabilities(self, networks: nn.ModuleDict, image: Tensor) -> Tensor:
        return self.deployed(networks)(image).float().softmax(dim=1)

    def deployed(self, networks: nn.ModuleDict) -> Network:
        return cast(Network, networks["network"])


def supervision(networks: nn.ModuleDict) -> Foreground:
    """L_seg and what it reads as probabilities."""
    return cast(Foreground, networks["supervision"])


@dataclass(frozen=True)
class Joined:
    """The items of a batch: first those of the labelled stream, `first` in number, then the others.
    `rows` are of the items whose labels are learnt from: the labelled stream, or all."""

    image: Tensor
    rows: Tensor
    first: int
    domain: tuple[str, ...]

    def labelled(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """The items that `rows` belongs to, of each of these tensors."""
        return [level[: len(self.rows)] for level in levels]

    def unlabelled(self, values: Tensor) -> Tensor:
        """The items of the unlabelled stream."""
        return values[self.first :]

    def with_strong_views(self) -> Joined:
        """The same, the images of the unlabelled stream as strong views of themselves."""
        changed = strong(self.unlabelled(self.image))
        return replace(self, image=torch.cat([self.image[: self.first], changed]))

    def view(self, logits: Tensor, features: Mapping[str, Tensor]) -> View:
        """For regularisers: row 0 ("any leaf") on what has no label."""
        hidden = self.rows.new_zeros((len(self.image) - len(self.rows), *self.rows.shape[1:]))
        rows = torch.cat([self.rows, hidden])
        return View(self.image, logits, rows, features=features, domain=self.domain)
