"""CPS, cross pseudo supervision (Chen et al. 2021): two networks label for each other."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn

from hinterland.methods.base import BuildContext, Losses
from hinterland.methods.options import require_numbers
from hinterland.methods.ramps import sigmoid_ramp
from hinterland.methods.semi.base import SemiSupervised, supervision
from hinterland.methods.semi.pseudo_labels import PseudoLabels
from hinterland.methods.supervised import forward_with_features
from hinterland.types import Batch, Progress


@dataclass(frozen=True)
class CrossPseudoSupervision(SemiSupervised):
    """L = L_seg(Q_1) + L_seg(Q_2) + lambda(t) (L_seg(Q_1, arg max Q_2) + L_seg(Q_2, arg max Q_1))

    on labelled and unlabelled images; lambda(t) = consistency exp(-5 (1 - t)^2). The networks
    differ in their initial weights alone; the first is deployed.
    """

    name: str = "cps"
    consistency: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        require_numbers(self.name, self, "consistency")

    def build(self, context: BuildContext) -> nn.ModuleDict:
        pseudo = PseudoLabels(self.cells, context.label_sets, component="all")
        networks = super().build(replace(context, label_sets=pseudo.label_sets))
        networks["other"] = context.create_network(len(self.cells), seed_offset=1001)
        networks["pseudo"] = pseudo
        return networks

    def losses(self, networks: nn.ModuleDict, batch: Batch, progress: Progress) -> Losses:
        both = self.join(batch)
        learn, pseudo = supervision(networks), networks["pseudo"]
        first, features = forward_with_features(networks["network"], both.image)
        second, _ = forward_with_features(networks["other"], both.image)
        terms = {
            "seg": learn.loss(both.labelled(first), both.rows),
            "seg_other": learn.loss(both.labelled(second), both.rows),
            "cross": learn.loss(first, pseudo(learn.estimate(second[0])))
            + learn.loss(second, pseudo(learn.estimate(first[0]))),
        }
        weights = {"cross": self.consistency * sigmoid_ramp(progress.fraction)}
        return Losses(terms, weights, (both.view(first[0], features),))

    def ensemble_predictions(self, networks: nn.ModuleDict, image: Tensor) -> list[Tensor]:
        learn = supervision(networks)
        return [learn.estimate(networks[name](image)) for name in ("network", "other")]
