"""SASSNet (Li et al. 2020): shapes of unlabelled objects that a discriminator cannot tell apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hinterland.methods.base import BuildContext, Losses
from hinterland.methods.options import Weight
from hinterland.methods.parts.teacher import teacher_mode
from hinterland.methods.ramps import sigmoid_ramp
from hinterland.methods.semi.base import Joined
from hinterland.methods.semi.dtc import LevelSetMethod, LevelSetNetworks
from hinterland.networks.base import Network
from hinterland.networks.initialise import initialise, seeded
from hinterland.networks.recipes import OptimiserRecipe
from hinterland.types import Batch, Progress

DISCRIMINATOR = "discriminator"
WIDTHS = (16, 32, 64, 128)


class AdversarialNetworks(LevelSetNetworks):
    """A student with a second head, and the discriminator that judges its shapes."""

    discriminator: nn.Module


@dataclass(frozen=True)
class ShapeAware(LevelSetMethod[AdversarialNetworks]):
    """Shape-aware adversarial learning: a discriminator judges the regressed level sets.

        L = L_seg + regression mse(z, T(Y)) - lambda(t) log D(x_u, z_u)

    z are the level sets regressed. The discriminator D minimises -log D(x_l, z_l) -
    log(1 - D(x_u, z_u)) with an optimiser of its own (Adam, constant lr 1e-4): it tells whether a
    shape
    is from a labelled image. lambda(t) = adversarial exp(-5 (1 - t)^2).
    """

    optimisers: ClassVar[tuple[str, ...]] = ("main", DISCRIMINATOR)

    name: str = "sassnet"
    adversarial: Weight = 0.01

    def build(self, context: BuildContext) -> AdversarialNetworks:
        parts = self.level_set_networks(context)
        channels = len(context.plan.channels) + len(self.cells.foreground)
        with seeded(context.seed + 1002):
            judge = discriminator(context.plan.dims, channels)
        return AdversarialNetworks(
            network=parts.network, supervision=parts.supervision, level_sets=parts.level_sets,
            distance_head=parts.distance_head, discriminator=judge,
        )  # fmt: skip

    def optimiser_recipes(self) -> Mapping[str, OptimiserRecipe]:
        return {DISCRIMINATOR: OptimiserRecipe("adam", 1e-4, 0.0, schedule="poly", power=0.0)}

    def parameters(self, networks: AdversarialNetworks, optimiser: str) -> Iterator[nn.Parameter]:
        for name, module in networks.named_children():
            if (name == DISCRIMINATOR) == (optimiser == DISCRIMINATOR):
                yield from module.parameters()

    def losses(self, networks: AdversarialNetworks, batch: Batch, progress: Progress) -> Losses:
        both, judge = self.join(batch), networks.discriminator
        if progress.optimiser == DISCRIMINATOR:
            with teacher_mode(networks):
                z = networks.predict(both.image)[1]
            return Losses({"guess": _guess(judge(torch.cat([both.image, z], dim=1)), both)})
        levels, z, features = networks.predict(both.image)
        terms, weights = self.supervised(networks, both, levels, z)
        verdict = judge(torch.cat([both.unlabelled(both.image), both.unlabelled(z)], dim=1))
        terms["adversarial"] = F.softplus(-verdict).mean()
        weights["adversarial"] = self.adversarial * sigmoid_ramp(progress.fraction)
        return Losses(terms, weights, (both.view(levels[0], features),))

    def deployed(self, networks: AdversarialNetworks) -> Network:
        return networks.network


def discriminator(dims: int, in_channels: int) -> nn.Module:
    """Return a network from (B, in_channels, *space) to (B, 1), the logit of "labelled"."""
    conv, pool = (
        (nn.Conv2d, nn.AdaptiveAvgPool2d) if dims == 2 else (nn.Conv3d, nn.AdaptiveAvgPool3d)
    )
    layers: list[nn.Module] = []
    for entering, width in zip((in_channels, *WIDTHS), WIDTHS, strict=False):
        layers += [conv(entering, width, 3, 2, 1), nn.LeakyReLU(0.2)]
    network = nn.Sequential(*layers, pool(1), nn.Flatten(), nn.Linear(WIDTHS[-1], 1))
    initialise(network, slope=0.2)
    return network


def _guess(verdicts: Tensor, both: Joined) -> Tensor:
    """-log D on the labelled stream, -log(1 - D) on the other; D = sigmoid(verdict)."""
    return F.softplus(-verdicts[: both.first]).mean() + F.softplus(both.unlabelled(verdicts)).mean()
