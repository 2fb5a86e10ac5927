"""DTC, dual-task consistency (Luo et al. 2021): classes and distances must say the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hinterland.losses.level_set import LevelSets, level_set_loss
from hinterland.losses.positions import positions
from hinterland.methods.base import BuildContext, Losses
from hinterland.methods.options import Positive, Weight
from hinterland.methods.ramps import sigmoid_ramp
from hinterland.methods.semi.base import Joined, N, OnePhase
from hinterland.methods.supervised import StudentNetworks
from hinterland.networks.base import Network, SplitNetwork
from hinterland.networks.heads import map_head
from hinterland.networks.registry import require_split
from hinterland.types import Batch, Progress


class LevelSetNetworks(StudentNetworks):
    """A student with a second head, L_seg, and what turns annotations into level sets."""

    network: SplitNetwork
    level_sets: LevelSets
    distance_head: nn.Module

    def predict(self, image: Tensor) -> tuple[list[Tensor], Tensor, dict[str, Tensor]]:
        """Return logits of every level, z (B, objects, *space), and the named feature maps."""
        features = self.network.encode(image)
        decoded = self.network.decode(features)
        z = self.distance_head(decoded[0]).float().tanh()
        return self.network.head(decoded), z, self.network.feature_maps(features, decoded)


@dataclass(frozen=True)
class LevelSetMethod(OnePhase[N]):
    """A network that also regresses the level set of each foreground cell: z = tanh(head)."""

    regression: Weight = 0.3

    @final
    def level_set_networks(self, context: BuildContext) -> LevelSetNetworks:
        """Return the student and its second head."""
        network = require_split(context.create_network(len(self.cells)), self.name)
        objects = len(self.cells.foreground)
        return LevelSetNetworks(
            network=network,
            supervision=context.segmentation_loss(self.on, self.cells),
            level_sets=LevelSets(self.cells, context.label_sets),
            distance_head=map_head(network, 0, objects, seed=context.seed + 1001),
        )

    @final
    def supervised(
        self, networks: LevelSetNetworks, both: Joined, levels: list[Tensor], z: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Return terms and weights of L_seg + regression mse(z, level set of Y).

        Both are those of the labelled images.

        Args:
            networks: with the head that gives z.
            both: labelled and unlabelled images, joined.
            levels: logits of both, highest resolution first.
            z: (B, objects, *space), predicted level set functions of both.

        Returns:
            The terms "seg" and "distance", and the weight of the latter.
        """
        target, known = networks.level_sets(both.annotation)
        terms = {
            "seg": networks.supervision(both.labelled(levels), both.annotation),
            "distance": level_set_loss(both.labelled([z])[0], target, known),
        }
        return terms, {"distance": self.regression}


@dataclass(frozen=True)
class DualTaskConsistency(LevelSetMethod[LevelSetNetworks]):
    """Dual-task consistency: segmentation and the regression of level sets agree.

        L = L_seg + regression mse(z, T(Y)) + lambda(t) mse(p, sigmoid(-steepness z))

    T(Y) is the level set of each foreground cell, sigmoid(-k z) the smooth step back to a mask, p
    the softmax probability of that cell. The last term is on labelled and unlabelled images, with
    lambda(t) = consistency exp(-5 (1 - t)^2).
    """

    name: str = "dtc"
    consistency: Weight = 1.0
    steepness: Positive = 1500.0

    def build(self, context: BuildContext) -> LevelSetNetworks:
        return self.level_set_networks(context)

    def losses(self, networks: LevelSetNetworks, batch: Batch, progress: Progress) -> Losses:
        both = self.join(batch)
        levels, z, features = networks.predict(both.image)
        terms, weights = self.supervised(networks, both, levels, z)
        p = networks.supervision.estimate(levels[0])
        p = p[:, positions(self.cells.foreground, p)]
        terms["dual"] = F.mse_loss(p, torch.sigmoid(-self.steepness * z))
        weights["dual"] = self.consistency * sigmoid_ramp(progress.fraction)
        return Losses(terms, weights, (both.view(levels[0], features),))

    def deployed(self, networks: LevelSetNetworks) -> Network:
        return networks.network
