"""Supervised training on one coarsening or several: the binary baseline, BackSplit, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

from torch import Tensor, nn

from hinterland.labels import Coarsening, common_refinement
from hinterland.losses import PartitionLoss, deep_supervision_weights, downsample_rows
from hinterland.methods.base import BuildContext, Losses, Method, Phase
from hinterland.networks.base import Network, SplitNetwork
from hinterland.types import Batch, HinterlandError, Progress, View


@dataclass(frozen=True, init=False)
class Supervised(Method):
    """Dice + cross entropy, averaged over the coarsenings in `on`.

    BackSplit (paper 1) is `on = (leaves,)`, its binary baseline `(target,)`, and
    `(leaves, target)` asks both questions of one network. The network has one channel per cell of
    their coarsest common refinement, so the baseline has two. A term of weight w on a deep
    supervision level l weighs w 2^-l (normalised); voxels annotated with inner nodes count through
    the marginal loss.

    warm_start: share of the steps that is a phase of its own; the next one begins with its best
    weights (see `Phase`), and with a fresh optimiser and schedule (paper 2's two phases). 0
    is one phase.
    """

    looks_again: ClassVar[bool] = True

    on: tuple[Coarsening, ...]
    name: str = "supervised"
    ce_weight: float = 1.0
    dice_weight: float = 1.0
    warm_start: float = 0.0

    def __init__(
        self,
        on: Coarsening | Sequence[Coarsening],
        name: str = "supervised",
        ce_weight: float = 1.0,
        dice_weight: float = 1.0,
        warm_start: float = 0.0,
    ) -> None:
        if not 0 <= warm_start < 1:
            raise HinterlandError(f"warm_start={warm_start}: expected a share from 0, below 1.")
        values = {
            "on": (on,) if isinstance(on, Coarsening) else tuple(on),
            "name": name,
            "ce_weight": ce_weight,
            "dice_weight": dice_weight,
            "warm_start": warm_start,
        }
        for field, value in values.items():  # frozen: one coarsening or several, kept as a tuple
            object.__setattr__(self, field, value)

    @property
    def cells(self) -> Coarsening:
        return common_refinement(self.on)

    def phases(self) -> tuple[Phase, ...]:
        if not self.warm_start:
            return super().phases()
        second = Phase("train", 1 - self.warm_start, start_from="best")
        return (Phase("warm-start", self.warm_start), second)

    def build(self, context: BuildContext) -> nn.ModuleDict:
        losses = [
            PartitionLoss(at, self.cells, context.label_sets, batch_dice=context.batch_dice)
            for at in self.on
        ]
        network = context.create_network(len(self.cells))
        return nn.ModuleDict({"network": network, "losses": nn.ModuleList(losses)})

    def losses(self, networks: nn.ModuleDict, batch: Batch, progress: Progress) -> Losses:
        del progress
        network = networks["network"]
        logits, features = forward_with_features(network, batch.image)
        terms: dict[str, Tensor] = {}
        weights: dict[str, float] = {}
        for i, loss in enumerate(cast(nn.ModuleList, networks["losses"])):
            label = "" if len(self.on) == 1 else f"/{i}"
            for name, value in supervised_terms(loss, logits, batch.annotation).items():
                terms[name + label] = value
                weight = self.ce_weight if name == "ce" else self.dice_weight
                weights[name + label] = weight / len(self.on)
        view = View(
            batch.image, logits[0], batch.annotation, features=features, domain=batch.domain,
            forward_features=lambda image: forward_with_features(network, image)[1],
        )  # fmt: skip
        return Losses(terms, weights, (view,))

    def probabilities(self, networks: nn.ModuleDict, image: Tensor) -> Tensor:
        return networks["network"](image).float().softmax(dim=1)

    def deployed(self, networks: nn.ModuleDict) -> Network:
        return cast(Network, networks["network"])


def forward_with_features(
    network: nn.Module, image: Tensor
) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Logits of every deep supervision level, and the named feature maps where there are any."""
    if isinstance(network, SplitNetwork):
        features = network.encode(image)
        decoded = network.decode(features)
        return network.head(decoded), network.feature_maps(features, decoded)
    assert isinstance(network, Network)
    return network.logits(image), {}


def supervised_terms(loss: nn.Module, logits: Sequence[Tensor], rows: Tensor) -> dict[str, Tensor]:
    """The terms of a PartitionLoss, summed over deep supervision levels with halving weights."""
    terms: dict[str, Tensor] = {}
    for weight, level in zip(deep_supervision_weights(len(logits)), logits, strict=True):
        if weight:
            for name, value in loss(level, downsample_rows(rows, tuple(level.shape[2:]))).items():
                terms[name] = terms.get(name, 0) + weight * value
    return terms
