"""CPS, cross pseudo supervision (Chen et al. 2021): two networks label for each other."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from hinterland.methods.base import BuildContext, Losses
from hinterland.methods.options import Weight
from hinterland.methods.parts.pseudo_labels import PseudoLabels
from hinterland.methods.ramps import sigmoid_ramp
from hinterland.methods.semi.base import OnePhase
from hinterland.methods.supervised import StudentNetworks
from hinterland.networks.base import Network, forward_with_features
from hinterland.types import Batch, Progress


class CrossNetworks(StudentNetworks):
    """Two students, L_seg, and what writes pseudo-labels."""

    other: Network
    pseudo: PseudoLabels


@dataclass(frozen=True)
class CrossPseudoSupervision(OnePhase[CrossNetworks]):
    """Cross pseudo supervision: two networks learn from each other's predictions.

        L = L_seg(Q_1) + L_seg(Q_2) + lambda(t) (L_seg(Q_1, arg max Q_2) + L_seg(Q_2, arg max Q_1))

    on labelled and unlabelled images; lambda(t) = consistency exp(-5 (1 - t)^2). The networks
    differ in their initial weights alone; the first is deployed.
    """

    name: str = "cps"
    consistency: Weight = 0.1

    def build(self, context: BuildContext) -> CrossNetworks:
        pseudo = PseudoLabels(self.cells, context.label_sets, component="all")
        context = replace(context, label_sets=pseudo.label_sets)
        return CrossNetworks(
            network=context.create_network(len(self.cells)),
            supervision=context.segmentation_loss(self.on, self.cells),
            other=context.create_network(len(self.cells), seed_offset=1001),
            pseudo=pseudo,
        )

    def losses(self, networks: CrossNetworks, batch: Batch, progress: Progress) -> Losses:
        both = self.join(batch)
        learn, pseudo = networks.supervision, networks.pseudo
        first, features = forward_with_features(networks.network, both.image)
        second, _ = forward_with_features(networks.other, both.image)
        terms = {
            "seg": learn(both.labelled(first), both.annotation),
            "seg_other": learn(both.labelled(second), both.annotation),
            "cross": learn(first, pseudo(learn.estimate(second[0])))
            + learn(second, pseudo(learn.estimate(first[0]))),
        }
        weights = {"cross": self.consistency * sigmoid_ramp(progress.fraction)}
        return Losses(terms, weights, (both.view(first[0], features),))

    def ensemble_predictions(self, networks: CrossNetworks, image: Tensor) -> list[Tensor]:
        both = (networks.network, networks.other)
        return [networks.supervision.estimate(network(image)) for network in both]

    def deployed(self, networks: CrossNetworks) -> Network:
        return networks.network
