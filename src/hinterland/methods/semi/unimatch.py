"""UniMatch (Yang et al. 2023): a weak view teaches two strong views and one of dropped features."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from hinterland.methods.base import BuildContext, Losses
from hinterland.methods.options import Share, Weight
from hinterland.methods.parts.cutmix import box_mask, mix
from hinterland.methods.parts.pseudo_labels import Component, PseudoLabels
from hinterland.methods.parts.strong_augmentation import strong
from hinterland.methods.semi.base import OnePhase
from hinterland.methods.supervised import StudentNetworks
from hinterland.networks.base import Network, SplitNetwork
from hinterland.networks.registry import require_split
from hinterland.types import Batch, Progress

AREA = (0.02, 0.4)
"""Range of the share of an image that a cut-mix box covers."""


class MatchingNetworks(StudentNetworks):
    """A student, L_seg, and what writes pseudo-labels."""

    network: SplitNetwork
    pseudo: PseudoLabels


@dataclass(frozen=True)
class UniMatch(OnePhase[MatchingNetworks]):
    """Consistency of strong views and of dropped features with the prediction for the weak view.

        L    = L_seg + feature L_fp + strong/2 (L_s1 + L_s2), of the unlabelled images x_u
        P    = arg max p(x_u), where max p(x_u) is at least `threshold`, without gradient
        L_fp = L_seg(head(decode(drop(encode(x_u)))), P)
        L_si = L_seg(Q(A_i(x_u) cut-mixed with A_i(x_v)), P_u cut-mixed with P_v)

    The student labels for itself, on the images as they are (the weak view). A_1 and A_2 are two
    strong views (`strong_augmentation`), each mixed with those of another unlabelled image of the
    batch, in a box at a random place, with a probability of `mixed`; drop is channel dropout of
    every feature map of the encoder.

    Attributes:
        feature: weight of the consistency of dropped features.
        strong: weight of the consistency of strong views.
        threshold: least probability of a pseudo-label that counts.
        dropout: share of channels that are dropped.
        mixed: probability that a strong view is cut-mixed.
        component: see `PseudoLabels`.
    """

    name: str = "unimatch"
    feature: Weight = 0.5
    strong: Weight = 0.5
    threshold: Share = 0.95
    dropout: Share = 0.5
    mixed: Share = 0.5
    component: Component = "all"

    def build(self, context: BuildContext) -> MatchingNetworks:
        pseudo = PseudoLabels(self.cells, context.label_sets, self.component, self.threshold)
        context = replace(context, label_sets=pseudo.label_sets)
        return MatchingNetworks(
            network=require_split(context.create_network(len(self.cells)), self.name),
            supervision=context.segmentation_loss(self.on, self.cells),
            pseudo=pseudo,
        )

    def losses(self, networks: MatchingNetworks, batch: Batch, progress: Progress) -> Losses:
        del progress
        both, learn, network = self.join(batch), networks.supervision, networks.network
        features = network.encode(both.image)
        decoded = network.decode(features)
        levels = network.head(decoded)
        pseudo = networks.pseudo(learn.estimate(both.unlabelled(levels[0])))
        dropped = [drop_channels(both.unlabelled(f), self.dropout) for f in features]
        weak = both.unlabelled(both.image)
        views = [cut_mixed(strong(weak), pseudo, self.mixed) for _ in range(2)]
        seen = network.logits(torch.cat([image for image, _ in views]))
        one, two = ([level[part] for level in seen] for part in _halves(len(weak)))
        terms = {
            "seg": learn(both.labelled(levels), both.annotation),
            "feature": learn(network.head(network.decode(dropped)), pseudo),
            "strong": (learn(one, views[0][1]) + learn(two, views[1][1])) / 2,
        }
        weights = {"feature": self.feature, "strong": self.strong}
        view = both.view(levels[0], network.feature_maps(features, decoded))
        return Losses(terms, weights, (view,))

    def deployed(self, networks: MatchingNetworks) -> Network:
        return networks.network


def drop_channels(features: Tensor, share: float) -> Tensor:
    """Return features with this share of channels set to 0, the others made larger in turn."""
    if share >= 1:
        return torch.zeros_like(features)
    drop = F.dropout2d if features.ndim == 4 else F.dropout3d
    return drop(features, share)


def cut_mixed(
    image: Float[Tensor, "batch channels *space"],
    annotation: Int[Tensor, "batch *space"],
    probability: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Return images and annotations with a box of another item of the batch in each.

    The partner of item i is i + k mod n, k drawn from 1 to n - 1; a box covers 2 to 40 % of the
    image. Drawn from torch's global CPU generator, which the engine seeds before each step.

    Args:
        image: (batch, channels, *space).
        annotation: (batch, *space), of the same items.
        probability: that anything is mixed; a single item never is.

    Returns:
        Both of the shapes that came.
    """
    n, space = len(image), image.shape[2:]
    if n < 2 or float(torch.rand(())) >= probability:
        return image, annotation
    low, high = AREA
    area = low + (high - low) * float(torch.rand(()))
    keep = box_mask(space, math.pow(area, 1 / len(space)), device=image.device)
    shift = 1 + int(torch.randint(n - 1, ()))
    return (
        mix(image, image.roll(-shift, dims=0), keep),
        mix(annotation, annotation.roll(-shift, dims=0), keep),
    )


def _halves(n: int) -> tuple[slice, slice]:
    return slice(0, n), slice(n, 2 * n)
