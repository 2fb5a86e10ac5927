"""Plain pseudo-labels: pre-train on labels, then learn from a moving average of oneself."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, final

from torch import Tensor

from hinterland.losses.segmentation import SegmentationLoss
from hinterland.methods.base import BuildContext, Losses
from hinterland.methods.parts.pseudo_labels import PseudoLabels
from hinterland.methods.parts.streams import PRETRAIN
from hinterland.methods.parts.teacher import update_teacher
from hinterland.methods.semi.self_training import Mixing, SelfTraining, TaughtNetworks
from hinterland.networks.base import Network, forward_with_features
from hinterland.networks.ema import ema_copy
from hinterland.types import Batch, Progress, View


class PseudoLabelNetworks(TaughtNetworks):
    """A student, L_seg, its teacher, and what writes pseudo-labels."""

    network: Network
    supervision: SegmentationLoss
    teacher: Network


@dataclass(frozen=True)
class OneDecoder(SelfTraining[PseudoLabelNetworks]):
    """Self-training of one plain network.

    L = L_seg(Q_l, Y) + alpha L_seg(Q_u, P), P the teacher's most probable cells, on images that are
    mixed or not.
    """

    is_softmax: ClassVar[bool] = True

    @property
    @abstractmethod
    def joined(self) -> bool:
        """Whether the logits of mixtures are cut back together; see `Arrangement.losses`."""

    @property
    @final
    def uses_unlabelled(self) -> bool:
        return True

    @final
    def build(self, context: BuildContext) -> PseudoLabelNetworks:
        pseudo = PseudoLabels(self.cells, context.label_sets, self.component, self.threshold)
        context = replace(context, label_sets=pseudo.label_sets)
        network = context.create_network(len(self.cells))
        return PseudoLabelNetworks(
            network=network,
            supervision=context.segmentation_loss(self.on, self.cells),
            teacher=ema_copy(network),
            pseudo=pseudo,
        )

    @final
    def teach(self, networks: PseudoLabelNetworks, image: Tensor) -> list[Tensor]:
        return [networks.supervision.estimate(networks.teacher(image))]

    @final
    def losses(self, networks: PseudoLabelNetworks, batch: Batch, progress: Progress) -> Losses:
        lesson = self.lesson(networks, batch, progress, 1)
        images, (annotations,) = lesson.images, lesson.annotations
        levels, features = forward_with_features(networks.network, images.image)
        values = images.losses(networks.supervision, levels, annotations, joined=self.joined)
        second = "other" if progress.phase == PRETRAIN else "pseudo"
        terms = dict(zip(("seg", second), values, strict=False))
        weights = {second: lesson.second_weight} if second in terms else {}
        given = networks.pseudo.hidden(images.annotation(annotations))
        return Losses(terms, weights, (View(images.image, levels[0], given, features=features),))

    @final
    def probabilities(self, networks: PseudoLabelNetworks, image: Tensor) -> Tensor:
        return networks.network(image).float().softmax(dim=1)

    @final
    def deployed(self, networks: PseudoLabelNetworks) -> Network:
        return networks.network

    @final
    def after_step(self, networks: PseudoLabelNetworks, progress: Progress) -> None:
        update_teacher(networks.teacher, networks.network, progress, self.ema)


@dataclass(frozen=True)
class PseudoLabel(OneDecoder):
    """L = L_seg(Q_l, Y) + alpha L_seg(Q_u, P): BCP without its mixing."""

    name: str = "pseudo-label"

    @property
    def mixing(self) -> Mixing | None:
        return None

    @property
    def joined(self) -> bool:
        return False
