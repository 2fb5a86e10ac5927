"""SS-Net (Wu et al. 2022): predictions that are smooth around an image, features apart by class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hinterland.losses.consistency import dice_distance
from hinterland.methods.base import BuildContext, Losses
from hinterland.methods.options import Count, Positive, Weight
from hinterland.methods.parts.class_memory import ClassMemory
from hinterland.methods.ramps import sigmoid_ramp
from hinterland.methods.semi.base import OnePhase
from hinterland.methods.supervised import StudentNetworks
from hinterland.networks.base import Network, SplitNetwork
from hinterland.networks.batch_statistics import frozen_batch_statistics
from hinterland.networks.registry import require_split
from hinterland.types import Batch, Progress


class MemoryNetworks(StudentNetworks):
    """A student, L_seg, and a memory of its feature vectors."""

    network: SplitNetwork
    memory: ClassMemory


@dataclass(frozen=True)
class SmoothAndSeparated(OnePhase[MemoryNetworks]):
    """Smooth predictions under adversarial noise, and features drawn to the memory of their class.

        L = L_seg + lambda(t) (L_smooth + separation L_apart)
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
    consistency: Weight = 0.1
    separation: Weight = 0.1
    magnitude: Positive = 10.0
    probe: Positive = 10.0
    dimensions: Count = 16
    size: Count = 32
    samples: Count = 512

    def build(self, context: BuildContext) -> MemoryNetworks:
        network = require_split(context.create_network(len(self.cells)), self.name)
        memory = ClassMemory(
            network.widths[0], self.cells, context.label_sets, self.dimensions, self.size,
            seed=context.seed + 1001,
        )  # fmt: skip
        supervision = context.segmentation_loss(self.on, self.cells)
        return MemoryNetworks(network=network, supervision=supervision, memory=memory)

    def losses(self, networks: MemoryNetworks, batch: Batch, progress: Progress) -> Losses:
        both, learn = self.join(batch), networks.supervision
        network, memory = networks.network, networks.memory
        features = network.encode(both.image)
        decoded = network.decode(features)
        levels = network.head(decoded)
        p = learn.estimate(levels[0])
        view = both.view(levels[0], network.feature_maps(features, decoded))
        assert view.annotation is not None
        memory.store(decoded[0], p, view.annotation)
        classes = memory.classes(p, view.annotation)
        terms = {
            "seg": learn(both.labelled(levels), both.annotation),
            "smooth": self.roughness(network, both.image, p.detach()),
            "apart": memory.distance(decoded[0], classes, self.samples),
        }
        rise = self.consistency * sigmoid_ramp(progress.fraction)
        return Losses(terms, {"smooth": rise, "apart": rise * self.separation}, (view,))

    def deployed(self, networks: MemoryNetworks) -> Network:
        return networks.network

    def roughness(self, network: nn.Module, image: Tensor, p: Tensor) -> Tensor:
        """Return L_smooth of an image whose probabilities are p.

        Args:
            network: in training mode; its batch statistics stay as they are.
            image: (B, C, *space).
            p: (B, cells, *space), its probabilities.

        Returns:
            A scalar.
        """
        d = _unit(torch.rand_like(image) - 0.5).requires_grad_()
        with frozen_batch_statistics(network):
            (g,) = torch.autograd.grad(dice_distance(network(image + self.probe * d), p), d)
            return dice_distance(network(image + self.magnitude * _unit(g)), p)


def _unit(direction: Tensor) -> Tensor:
    """Divide each item by its length."""
    length = direction.flatten(1).norm(dim=1).clamp(min=1e-12)
    return direction / length.view(-1, *(1,) * (direction.ndim - 1))
