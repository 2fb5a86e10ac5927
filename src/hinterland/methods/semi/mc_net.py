"""MC-Net (Wu et al. 2021): two decoders, each learning from the other, sharpened."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from hinterland.losses.consistency import sharpen
from hinterland.losses.segmentation import SegmentationLoss
from hinterland.methods.base import BuildContext, Losses
from hinterland.methods.options import Positive, Weight
from hinterland.methods.ramps import sigmoid_ramp
from hinterland.methods.semi.base import OnePhase
from hinterland.networks.architectures.cross_view import CrossView, Outputs
from hinterland.networks.base import Network
from hinterland.networks.container import Networks
from hinterland.networks.registry import require_split
from hinterland.types import Batch, Progress


class MutualNetworks(Networks):
    """A network with two decoders, and L_seg."""

    network: CrossView
    supervision: SegmentationLoss


@dataclass(frozen=True)
class MutualConsistency(OnePhase[MutualNetworks]):
    """Mutual consistency: two decoders of one encoder learn from each other's sharp predictions.

        L = L_seg(Q_1) + L_seg(Q_2) + lambda(t) (mse(p_1, s(p_2)) + mse(p_2, s(p_1)))

    Decoder 1 goes up as the network does, decoder 2 the other way (transposed convolution or
    interpolation). s sharpens, s(p)_c = p_c^(1/T) / sum_j p_j^(1/T) with T = `temperature`, and
    passes
    no gradient. lambda(t) = consistency exp(-5 (1 - t)^2), on labelled and unlabelled images.
    """

    name: str = "mc-net"
    consistency: Weight = 0.1
    temperature: Positive = 0.1

    def build(self, context: BuildContext) -> MutualNetworks:
        plain = require_split(context.create_network(len(self.cells)), self.name)
        return MutualNetworks(
            network=CrossView(plain, second=True, mixing=False, seed=context.seed),
            supervision=context.segmentation_loss(self.on, self.cells),
        )

    def losses(self, networks: MutualNetworks, batch: Batch, progress: Progress) -> Losses:
        both, learn = self.join(batch), networks.supervision
        outputs: Outputs = networks.network(both.image)
        assert outputs.second is not None
        p, q = outputs.first[0].float(), outputs.second[0].float()
        terms = {
            "seg": learn(both.labelled(outputs.first), both.annotation),
            "seg_other": learn(both.labelled(outputs.second), both.annotation),
            "mutual": F.mse_loss(p.softmax(dim=1), sharpen(q, self.temperature))
            + F.mse_loss(q.softmax(dim=1), sharpen(p, self.temperature)),
        }
        weights = {"mutual": self.consistency * sigmoid_ramp(progress.fraction)}
        return Losses(terms, weights, (both.view(outputs.first[0], outputs.features),))

    def ensemble_predictions(self, networks: MutualNetworks, image: Tensor) -> list[Tensor]:
        outputs: Outputs = networks.network(image)
        assert outputs.second is not None
        return [networks.supervision.estimate(q[0]) for q in (outputs.first, outputs.second)]

    def deployed(self, networks: MutualNetworks) -> Network:
        return networks.network.network
