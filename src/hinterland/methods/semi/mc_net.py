"""MC-Net (Wu et al. 2021): two decoders, each learning from the other, sharpened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from hinterland.methods.base import BuildContext, Losses
from hinterland.methods.cvbm.network import CrossView, Outputs
from hinterland.methods.options import require_numbers
from hinterland.methods.ramps import sigmoid_ramp
from hinterland.methods.semi.base import SemiSupervised, supervision
from hinterland.networks.base import Network, require_split
from hinterland.types import Batch, Progress


@dataclass(frozen=True)
class MutualConsistency(SemiSupervised):
    """L = L_seg(Q_1) + L_seg(Q_2) + lambda(t) (mse(p_1, s(p_2)) + mse(p_2, s(p_1)))

    One encoder; decoder 1 goes up as the network does, decoder 2 the other way (transposed
    convolution or interpolation). s sharpens, s(p)_c = p_c^(1/T) / sum_j p_j^(1/T) with
    T = `temperature`, and passes no gradient. lambda(t) = consistency exp(-5 (1 - t)^2), on
    labelled and unlabelled images.
    """

    name: str = "mc-net"
    consistency: float = 0.1
    temperature: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        require_numbers(self.name, self, "consistency")
        require_numbers(self.name, self, "temperature", above=True)

    def build(self, context: BuildContext) -> nn.ModuleDict:
        networks = super().build(context)
        plain = require_split(self.deployed(networks), self.name)
        networks["network"] = CrossView(plain, second=True, mixing=False, seed=context.seed)
        return networks

    def losses(self, networks: nn.ModuleDict, batch: Batch, progress: Progress) -> Losses:
        both, learn = self.join(batch), supervision(networks)
        outputs = cast(Outputs, networks["network"](both.image))
        assert outputs.second is not None
        p, q = outputs.first[0].float(), outputs.second[0].float()
        terms = {
            "seg": learn.loss(both.labelled(outputs.first), both.rows),
            "seg_other": learn.loss(both.labelled(outputs.second), both.rows),
            "mutual": F.mse_loss(p.softmax(dim=1), sharpen(q, self.temperature))
            + F.mse_loss(q.softmax(dim=1), sharpen(p, self.temperature)),
        }
        weights = {"mutual": self.consistency * sigmoid_ramp(progress.fraction)}
        return Losses(terms, weights, (both.view(outputs.first[0], outputs.features),))

    def ensemble_predictions(self, networks: nn.ModuleDict, image: Tensor) -> list[Tensor]:
        outputs = cast(Outputs, networks["network"](image))
        assert outputs.second is not None
        return [supervision(networks).estimate(q[0]) for q in (outputs.first, outputs.second)]

    def deployed(self, networks: nn.ModuleDict) -> Network:
        network = networks["network"]
        return network.network if isinstance(network, CrossView) else cast(Network, network)


def sharpen(logits: Tensor, temperature: float) -> Tensor:
    """p^(1/T) / sum p^(1/T) = softmax(logits / T), without gradient."""
    return (logits.detach() / temperature).softmax(dim=1)
