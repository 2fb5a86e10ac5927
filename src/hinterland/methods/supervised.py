"""Supervised training on one coarsening or several: the binary baseline, BackSplit, or both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from hinterland.labels import Coarsening, common_refinement
from hinterland.losses.segmentation import SegmentationLoss
from hinterland.methods.base import BuildContext, Coarsenings, Losses, Method, Phase
from hinterland.methods.options import Shares, Weight
from hinterland.methods.parts.streams import by_scheme
from hinterland.networks.base import Network, forward_with_features
from hinterland.networks.container import Networks
from hinterland.types import Batch, HinterlandError, Progress, View


class StudentNetworks(Networks):
    """The network that is trained, and L_seg."""

    network: Network
    supervision: SegmentationLoss


@dataclass(frozen=True, init=False)
class Supervised(Method[StudentNetworks]):
    """L_seg, averaged over the coarsenings in `on`.

    BackSplit (paper 1) is `on = (leaves,)`, its binary baseline `(target,)`, and
    `(leaves, target)` asks both questions of one network. The network has one channel per cell of
    their coarsest common refinement, so the baseline has two. A term of weight w on a deep
    supervision level l weighs w 2^-l (normalised); voxels annotated with inner nodes count through
    the marginal loss.

    Attributes:
        ce_weight, dice_weight: of the terms "ce" and "dice" of L_seg; other terms weigh 1.
        warm_start: share of the steps that is a phase of its own; the next one begins with its best
            weights (see `Phase`), and with a fresh optimiser and schedule (paper 2's two phases).
            0 is one phase.
        shares: annotation scheme -> share of every batch that is drawn from its cases; the rest
            from the cases of all other schemes. Without it a case is drawn as often as any other.
    """

    looks_again: ClassVar[bool] = True
    is_softmax: ClassVar[bool] = True

    on: Coarsenings
    name: str = "supervised"
    ce_weight: Weight = 1.0
    dice_weight: Weight = 1.0
    warm_start: float = 0.0
    shares: Shares = field(default_factory=dict)

    def __init__(
        self,
        on: Coarsening | Sequence[Coarsening],
        name: str = "supervised",
        ce_weight: float = 1.0,
        dice_weight: float = 1.0,
        warm_start: float = 0.0,
        shares: Mapping[str, float] | None = None,
    ) -> None:
        values = {
            "on": (on,) if isinstance(on, Coarsening) else tuple(on),
            "name": name,
            "ce_weight": ce_weight,
            "dice_weight": dice_weight,
            "warm_start": warm_start,
            "shares": shares or {},
        }
        for name_of, value in values.items():  # frozen: one coarsening or several, kept as a tuple
            object.__setattr__(self, name_of, value)
        self.__post_init__()

    def check(self) -> None:
        """Refuse a warm start without an end.

        Raises:
            HinterlandError: the warm start takes the whole training, or less than nothing.
        """
        if not 0 <= self.warm_start < 1:
            raise HinterlandError(
                f"warm_start={self.warm_start}: expected a share from 0, below 1."
            )

    @property
    def cells(self) -> Coarsening:
        return common_refinement(self.on)

    def phases(self) -> tuple[Phase, ...]:
        quotas = by_scheme(self.shares)
        if not self.warm_start:
            return (Phase(quotas=quotas),)
        second = Phase("train", 1 - self.warm_start, quotas, start_from="best")
        return (Phase("warm-start", self.warm_start, quotas), second)

    def build(self, context: BuildContext) -> StudentNetworks:
        return StudentNetworks(
            network=context.create_network(len(self.cells)),
            supervision=context.segmentation_loss(self.on, self.cells),
        )

    def losses(self, networks: StudentNetworks, batch: Batch, progress: Progress) -> Losses:
        del progress
        network = networks.network
        logits, features = forward_with_features(network, batch.image)
        terms: dict[str, Tensor] = {}
        weights: dict[str, float] = {}
        named = {"ce": self.ce_weight, "dice": self.dice_weight}
        for i, found in enumerate(networks.supervision.terms(logits, batch.annotation)):
            label = "" if len(self.on) == 1 else f"/{i}"
            terms |= {name + label: value for name, value in found.items()}
            weights |= {n + label: named.get(n, 1.0) / len(self.on) for n in found}
        view = View(
            batch.image, logits[0], batch.annotation, features=features, domain=batch.domain,
            forward_features=lambda image: forward_with_features(network, image)[1],
        )  # fmt: skip
        return Losses(terms, weights, (view,))

    def probabilities(self, networks: StudentNetworks, image: Tensor) -> Tensor:
        return networks.network(image).float().softmax(dim=1)

    def deployed(self, networks: StudentNetworks) -> Network:
        return networks.network
