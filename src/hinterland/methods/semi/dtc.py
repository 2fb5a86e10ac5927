"""DTC, dual-task consistency (Luo et al. 2021): classes and distances must say the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hinterland.methods.base import BuildContext, Losses
from hinterland.methods.options import require_numbers
from hinterland.methods.ramps import sigmoid_ramp
from hinterland.methods.semi.base import Joined, SemiSupervised, supervision
from hinterland.methods.semi.level_sets import LevelSets, level_set_loss, map_head
from hinterland.networks.base import SplitNetwork, require_split
from hinterland.types import Batch, Progress


@dataclass(frozen=True)
class LevelSetMethod(SemiSupervised):
    """A network that also regresses the level set of each foreground cell: z = tanh(head)."""

    regression: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        require_numbers(self.name, self, "regression")

    def build(self, context: BuildContext) -> nn.ModuleDict:
        networks = super().build(context)
        network = require_split(self.deployed(networks), self.name)
        networks["level_sets"] = LevelSets(self.cells, context.label_sets)
        objects = len(self.cells.foreground)
        networks["distance_head"] = map_head(network, 0, objects, seed=context.seed + 1001)
        return networks

    def predict(
        self, networks: nn.ModuleDict, image: Tensor
    ) -> tuple[list[Tensor], Tensor, dict[str, Tensor]]:
        """Logits of every level, z (B, objects, *space), and the tapped features."""
        network = cast(SplitNetwork, networks["network"])
        features = network.encode(image)
        decoded = network.decode(features)
        z = networks["distance_head"](decoded[0]).float().tanh()
        return network.head(decoded), z, network.feature_maps(features, decoded)

    def supervised(
        self, networks: nn.ModuleDict, both: Joined, levels: list[Tensor], z: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        """L_seg + regression mse(z, level set of Y), on the labelled images; terms and weights."""
        target, known = networks["level_sets"](both.rows)
        terms = {
            "seg": supervision(networks).loss(both.labelled(levels), both.rows),
            "distance": level_set_loss(both.labelled([z])[0], target, known),
        }
        return terms, {"distance": self.regression}


@dataclass(frozen=True)
class DualTaskConsistency(LevelSetMethod):
    """L = L_seg + regression mse(z, T(Y)) + lambda(t) mse(p, sigmoid(-steepness z))

    T(Y) is the level set of each foreground cell, sigmoid(-k z) the smooth step back to a mask, p
    the softmax probability of that cell. The last term is on labelled and unlabelled images, with
    lambda(t) = consistency exp(-5 (1 - t)^2).
    """

    name: str = "dtc"
    consistency: float = 1.0
    steepness: float = 1500.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_numbers(self.name, self, "consistency")
        require_numbers(self.name, self, "steepness", above=True)

    def losses(self, networks: nn.ModuleDict, batch: Batch, progress: Progress) -> Losses:
        both = self.join(batch)
        levels, z, features = self.predict(networks, both.image)
        terms, weights = self.supervised(networks, both, levels, z)
        p = supervision(networks).estimate(levels[0])[:, list(self.cells.foreground)]
        terms["dual"] = F.mse_loss(p, torch.sigmoid(-self.steepness * z))
        weights["dual"] = self.consistency * sigmoid_ramp(progress.fraction)
        return Losses(terms, weights, (both.view(levels[0], features),))
