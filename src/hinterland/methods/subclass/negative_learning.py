"""Negative learning: one plain network, and a penalty on classes outside the annotated superclass.

A baseline of paper 4 (after NLNL): coarse labels say which classes a voxel is not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from hinterland.labels import Coarsening, LabelSpec
from hinterland.losses.levels import LevelLosses
from hinterland.losses.negative import FORMS, NegativeLoss
from hinterland.methods.base import BuildContext, Losses, Method, Phase
from hinterland.methods.options import OneOf, PositiveShare, Weight
from hinterland.methods.subclass.levels import schemes_known_at
from hinterland.methods.subclass.streams import fine_and_coarse
from hinterland.networks.base import Network, forward_with_features
from hinterland.networks.container import Networks
from hinterland.types import Batch, Progress, View


class NegativeNetworks(Networks):
    """A network, L_seg, and the penalty on what coarse labels rule out."""

    network: Network
    supervision: LevelLosses
    negative: NegativeLoss


@dataclass(frozen=True)
class NegativeLearning(Method[NegativeNetworks]):
    """L = L_seg on fine-labelled items + weight * NegativeLoss on coarsely labelled ones."""

    derived: ClassVar[tuple[str, ...]] = ("fine", "coarse")
    is_softmax: ClassVar[bool] = True
    on: tuple[Coarsening, ...]
    fine: tuple[str, ...]
    coarse: tuple[str, ...]
    name: str = "negative-learning"
    weight: Weight = 1.0
    share: PositiveShare = 0.5
    form: Annotated[str, OneOf(*FORMS)] = "superclass"

    @property
    def cells(self) -> Coarsening:
        return self.on[-1]

    def build(self, context: BuildContext) -> NegativeNetworks:
        context = replace(context, deep_supervision=False)
        return NegativeNetworks(
            network=context.create_network(len(self.cells)),
            supervision=context.level_losses(self.on),
            negative=NegativeLoss(self.cells, context.label_sets, self.form),
        )

    def phases(self) -> tuple[Phase, ...]:
        return (Phase(quotas=fine_and_coarse(self.fine, self.coarse, self.share)),)

    def losses(self, networks: NegativeNetworks, batch: Batch, progress: Progress) -> Losses:
        del progress
        (logits, *_), features = forward_with_features(networks.network, batch.image)
        annotation, negative = batch.annotation.long(), networks.negative
        fine = torch.where(negative.pattern[annotation] < 0, annotation, 0)
        terms = networks.supervision([logits], fine)
        terms["negative"] = negative(logits, annotation)
        view = View(batch.image, logits, batch.annotation, features=features, domain=batch.domain)
        return Losses(terms, {"negative": self.weight}, (view,))

    def probabilities(self, networks: NegativeNetworks, image: Tensor) -> Tensor:
        return networks.network(image).float().softmax(dim=1)

    def deployed(self, networks: NegativeNetworks) -> Network:
        return networks.network


def make_negative_learning(
    spec: LabelSpec, on: tuple[Coarsening, ...], **options: Any
) -> NegativeLearning:
    """Return the method for the labels at hand.

    Args:
        spec: the labels of the data set.
        on: coarsenings, of which the last is used; empty is the leaves.
        options: fields of `NegativeLearning`.

    Returns:
        The method.
    """
    cells = on[-1] if on else spec.tree.leaves
    fine, coarse = schemes_known_at(spec, cells)
    return NegativeLearning((cells,), fine, coarse, **options)
