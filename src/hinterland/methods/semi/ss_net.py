"""SS-Net (Wu et al. 2022): predictions that are smooth around an image, features apart by class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from hinterland.losses import all_sum
from hinterland.methods.base import BuildContext, Losses
from hinterland.methods.options import require_numbers
from hinterland.methods.ramps import sigmoid_ramp
from hinterland.methods.semi.base import SemiSupervised, supervision
from hinterland.methods.semi.class_memory import ClassMemory
from hinterland.methods.semi.teacher import frozen_batch_statistics
from hinterland.networks.base import Network, SplitNetwork, require_split
from hinterland.types import Batch, Progress


@dataclass(frozen=True)
class SmoothAndSeparated(SemiSupervised):
    """L = L_seg + lambda(t) (L_smooth + separation L_apart)

        lambda(t) = consistency exp(-5 (1 - t)^2)
        L_smooth = 1 - Dice(p(x), p(x + r)),  r = magnitude g / |g|,
        g = gradient of 1 - Dice(p(x), p(x + probe d)) with respect to d, a random unit vector
        Dice(p, q) = mean_c 2 sum p_c q_c / sum (p_c^2 + q_c^2)
        L_apart  = mean_c mean_v w (1 - cos(e_v, memory_c)),  v of the foreground cell c

    p(x) passes no gradient in L_smooth; |.| is over an item. e_v is a learned projection of the
    decoder's last map; `memory` holds the embeddings of `size` labelled voxels a cell that were
    rightly predicted with most confidence. Voxels are of the cell that they are labelled as, or
    else predicted as; at most `samples` of them a cell are compared.
    """

    name: str = "ss-net"
    consistency: float = 0.1
    separation: float = 0.1
    magnitude: float = 10.0
    probe: float = 10.0
    dimensions: int = 16
    size: int = 32
    samples: int = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        require_numbers(self.name, self, "consistency", "separation")
        require_numbers(self.name, self, "magnitude", "probe", above=True)
        require_numbers(self.name, self, "dimensions", "size", "samples", low=1.0, whole=True)

    def build(self, context: BuildContext) -> nn.ModuleDict:
        networks = super().build(context)
        network = require_split(cast(Network, networks["network"]), self.name)
        networks["memory"] = ClassMemory(
            network.widths[0], self.cells, context.label_sets, self.dimensions, self.size,
            seed=context.seed + 1001,
        )  # fmt: skip
        return networks

    def losses(self, networks: nn.ModuleDict, batch: Batch, progress: Progress) -> Losses:
        both, learn = self.join(batch), supervision(networks)
        network = cast(SplitNetwork, networks["network"])
        memory = cast(ClassMemory, networks["memory"])
        features = network.encode(both.image)
        decoded = network.decode(features)
        levels = network.head(decoded)
        p = learn.estimate(levels[0])
        view = both.view(levels[0], network.feature_maps(features, decoded))
        assert view.annotation is not None
        memory.store(decoded[0], p, view.annotation)
        classes = memory.classes(p, view.annotation)
        terms = {
            "seg": learn.loss(both.labelled(levels), both.rows),
            "smooth": self.roughness(network, both.image, p.detach()),
            "apart": memory.distance(decoded[0], classes, self.samples),
        }
        rise = self.consistency * sigmoid_ramp(progress.fraction)
        return Losses(terms, {"smooth": rise, "apart": rise * self.separation}, (view,))

    def roughness(self, network: nn.Module, image: Tensor, p: Tensor) -> Tensor:
        """L_smooth of an image whose probabilities are p."""
        d = _unit(torch.rand_like(image) - 0.5).requires_grad_()
        with frozen_batch_statistics(network):
            (g,) = torch.autograd.grad(_apart(network(image + self.probe * d), p), d)
            return _apart(network(image + self.magnitude * _unit(g)), p)


def _apart(logits: Tensor, p: Tensor) -> Tensor:
    """1 - mean_c 2 sum p q / sum (p^2 + q^2): 0 where q is p, however soft."""
    q = logits.float().softmax(dim=1)
    space = (0, *range(2, p.ndim))
    overlap = all_sum((p * q).sum(space))
    size = all_sum((p.square() + q.square()).sum(space))
    return 1 - (2 * overlap / size.clamp(min=1e-8)).mean()


def _unit(direction: Tensor) -> Tensor:
    """Each item over its length."""
    length = direction.flatten(1).norm(dim=1).clamp(min=1e-12)
    return direction / length.view(-1, *(1,) * (direction.ndim - 1))
