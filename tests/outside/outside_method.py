"""A semi-supervised method of somebody else's: predictions of unlabelled images should be sure."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hinterland.methods import BuildContext, Losses, semi_supervised
from hinterland.methods.options import Weight
from hinterland.methods.semi.base import OnePhase
from hinterland.methods.supervised import StudentNetworks
from hinterland.networks import Network
from hinterland.networks.base import forward_with_features
from hinterland.types import Batch, Progress


@dataclass(frozen=True)
class EntropyMinimisation(OnePhase[StudentNetworks]):
    """L = L_seg + entropy mean_v H(p_v) on unlabelled images."""

    name: str = "outside-method"
    entropy: Weight = 0.1

    def build(self, context: BuildContext) -> StudentNetworks:
        return StudentNetworks(
            network=context.create_network(len(self.cells)),
            supervision=context.segmentation_loss(self.on, self.cells),
        )

    def losses(self, networks: StudentNetworks, batch: Batch, progress: Progress) -> Losses:
        both = self.join(batch)
        levels, features = forward_with_features(networks.network, both.image)
        p: Tensor = both.unlabelled(networks.supervision.estimate(levels[0]))
        terms = {
            "seg": networks.supervision(both.labelled(levels), both.annotation),
            "entropy": torch.special.entr(p).sum(dim=1).mean(),
        }
        return Losses(terms, {"entropy": self.entropy}, (both.view(levels[0], features),))

    def deployed(self, networks: StudentNetworks) -> Network:
        return networks.network


METHOD = semi_supervised(EntropyMinimisation)
