"""Subclasses from few fine and many coarse labels (paper 4), for trees of any depth."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from hinterland.labels import Coarsening, LabelSpec
from hinterland.losses.levels import LevelLosses
from hinterland.losses.soft import soft_cross_entropy, soft_target_dice_loss
from hinterland.methods.base import BuildContext, Losses, Method, Phase
from hinterland.methods.options import OneOf, PositiveShare
from hinterland.methods.subclass.heads import NORMS, LevelNetwork, make_level_head
from hinterland.methods.subclass.hierarchical_mix import (
    HierarchicalMix,
    Schedule,
    draw_turn,
    ramp,
    threshold,
)
from hinterland.methods.subclass.levels import check_levels, schemes_known_at, tree_levels
from hinterland.methods.subclass.streams import fine_and_coarse
from hinterland.networks.base import Network
from hinterland.networks.batch_statistics import frozen_batch_statistics
from hinterland.networks.container import Networks
from hinterland.networks.registry import require_split
from hinterland.types import Batch, HinterlandError, Progress, View
from hinterland.types.batch import take

Parts = Annotated[str, OneOf("both", "mixup", "pseudo")]

SMALLEST_BATCH = 4
log = logging.getLogger(__name__)


class SubclassNetworks(Networks):
    """A network with a head a level, their losses, and HierarchicalMix."""

    network: LevelNetwork
    supervision: LevelLosses
    mix: HierarchicalMix


@dataclass(frozen=True)
class Subclass(Method[SubclassNetworks]):
    """L = sum_d L_seg(level d) + w(t) L_seg(f(x_mix), alpha z + (1 - alpha) z_pse).

    Attributes:
        on: the levels, superclasses first, cells last.
        fine, coarse: names of the annotation schemes that know the last level, and of those that do
            not; they follow from the labels and are no options.
        pc, sn, hm: Prior Concatenation, Separate Normalization, HierarchicalMix. Without any of
            them it is the Modified U-Net, a head a level.
        share: part of a batch that is fine-labelled.
        marginal: one head over the cells instead of a head a level, whose summed probabilities
            answer at the levels, so that coarse annotations supervise inner nodes (ours; needs pc
            and sn off).
        shared: one convolution block before plain heads, as released.
        norm: of the branches of Separate Normalization and of the shared block. Batch norm is the
            paper's; a batch of fewer than four items has too few to normalise by.
        tau_floor, tau: the threshold of pseudo-labels and its schedule.
        alpha: lower end of the range of the mixing weight (up to 1).
        hm_gradient: False is the released behaviour, no gradient through f(x_mix).
        parts: "mixup" or "pseudo" leave out the other half of HierarchicalMix.
    """

    derived: ClassVar[tuple[str, ...]] = ("fine", "coarse")
    is_softmax: ClassVar[bool] = True
    on: tuple[Coarsening, ...]
    fine: tuple[str, ...]
    coarse: tuple[str, ...]
    name: str = "subclass"
    pc: bool = True
    sn: bool = True
    hm: bool = True
    share: PositiveShare = 0.5
    marginal: bool = False
    shared: bool = False
    norm: Annotated[str, OneOf(*NORMS)] = "batch"
    tau: Schedule = "linear"
    tau_floor: PositiveShare = 0.4
    alpha: PositiveShare = 0.5
    hm_gradient: bool = True
    parts: Parts = "both"

    def check(self) -> None:
        """Refuse heads that exclude each other.

        Raises:
            HinterlandError: two of them are asked for.
        """
        if self.marginal and (self.pc or self.sn or self.shared):
            raise HinterlandError(
                "marginal=true is a single plain head: set pc=false and sn=false, and leave shared "
                "away."
            )
        if self.shared and self.sn:
            raise HinterlandError("shared=true is a block before plain heads: set sn=false.")

    @property
    def cells(self) -> Coarsening:
        return self.on[-1]

    @property
    def heads(self) -> tuple[Coarsening, ...]:
        """The levels that have a head of their own."""
        return self.on[-1:] if self.marginal else self.on

    def build(self, context: BuildContext) -> SubclassNetworks:
        size = context.plan.batch_size
        if self.sn and self.norm == "batch" and size < SMALLEST_BATCH:
            log.warning(
                "%s: Separate Normalization normalises by batches of %d, and needs %d items or "
                "more. Set batch_size=%d, or method.norm=instance.",
                self.name, size, SMALLEST_BATCH, SMALLEST_BATCH,
            )  # fmt: skip
        plain = require_split(context.create_network(len(self.cells)), self.name)
        head = make_level_head(
            self.heads, plain.widths[0], plain.dims, pc=self.pc, sn=self.sn, shared=self.shared,
            norm=self.norm, seed=context.seed + 1,
        )  # fmt: skip
        return SubclassNetworks(
            network=LevelNetwork(plain, head, len(self.cells)),
            supervision=context.level_losses(self.on, self.cells if self.marginal else None),
            mix=HierarchicalMix(self.cells, context.label_sets),
        )

    def phases(self) -> tuple[Phase, ...]:
        return (Phase(quotas=fine_and_coarse(self.fine, self.coarse, self.share)),)

    def losses(self, networks: SubclassNetworks, batch: Batch, progress: Progress) -> Losses:
        network = networks.network
        features = network.encode(batch.image)
        decoded = network.decode(features)
        levels = network.head.levels(decoded)
        answers = levels * len(self.on) if self.marginal else levels
        terms: dict[str, Tensor] = networks.supervision(answers, batch.annotation)
        weights: dict[str, float] = {}
        if self.hm:
            added = self._mix(networks, batch, levels[-1], progress.fraction)
            terms |= added
            weights |= dict.fromkeys(added, ramp(progress.fraction))
        view = View(
            batch.image, levels[-1], batch.annotation,
            features=network.feature_maps(features, decoded), domain=batch.domain,
        )  # fmt: skip
        return Losses(terms, weights, (view,))

    def _mix(
        self, networks: SubclassNetworks, batch: Batch, logits: Tensor, fraction: float
    ) -> dict[str, Tensor]:
        """Return L_p of the coarse items, each with a fine-labelled item drawn at random."""
        coarse = [i for i, s in enumerate(batch.streams) if s == "coarse"]
        fine = [i for i, s in enumerate(batch.streams) if s == "fine"]
        if not coarse or not fine:
            return {}
        network, mix = networks.network, networks.mix
        own, logits = batch.take(coarse), take(logits, coarse)
        p = logits.detach().float().softmax(dim=1)
        if self.parts == "mixup":
            pseudo = mix.known(own.annotation, p)
        else:
            turn = draw_turn(tuple(own.image.shape[2:]))
            with torch.no_grad(), frozen_batch_statistics(network):
                other = turn.undo(network(turn(own.image)).float().softmax(dim=1))
            tau = threshold(fraction, self.tau_floor, self.tau)
            pseudo = mix.pseudo(p, other, own.annotation, tau)
        if self.parts == "pseudo":
            return self._soft(logits, pseudo)
        partners = batch.take([fine[int(torch.randint(len(fine), ()))] for _ in coarse])
        drawn = torch.rand(len(coarse), device=own.image.device).to(own.image.dtype)
        alpha = self.alpha + (1 - self.alpha) * drawn
        mixed = mix.mix(own.image, own.annotation, partners.image, partners.annotation, alpha)
        target = mixed.target(alpha.float(), pseudo)
        gradient = torch.set_grad_enabled(self.hm_gradient and torch.is_grad_enabled())
        with gradient, frozen_batch_statistics(network):  # no image of the data looks like these
            return self._soft(network(mixed.image), target)

    def _soft(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        log_p = logits.float().log_softmax(dim=1)
        dice = soft_target_dice_loss(log_p.exp(), target, list(self.cells.foreground))
        return {"mix/ce": soft_cross_entropy(log_p, target), "mix/dice": dice}

    def probabilities(self, networks: SubclassNetworks, image: Tensor) -> Tensor:
        return networks.network(image).float().softmax(dim=1)

    def deployed(self, networks: SubclassNetworks) -> Network:
        return networks.network


def make_subclass(spec: LabelSpec, on: tuple[Coarsening, ...], **options: Any) -> Subclass:
    """Return the method for the labels at hand.

    Args:
        spec: the labels of the data set.
        on: levels, coarsest first; empty is every level of the tree.
        options: fields of `Subclass`.

    Returns:
        The method.
    """
    levels = check_levels(on) or tree_levels(spec.tree)
    fine, coarse = schemes_known_at(spec, levels[-1])
    return Subclass(levels, fine, coarse, **options)


def make_two_head(spec: LabelSpec, on: tuple[Coarsening, ...], **options: Any) -> Subclass:
    """Return the Modified U-Net: a head a level, nothing else.

    Args:
        spec: the labels of the data set.
        on: levels, coarsest first; empty is every level of the tree.
        options: fields of `Subclass`.

    Returns:
        The method.
    """
    return make_subclass(
        spec, on, **{"name": "two-head", "pc": False, "sn": False, "hm": False, **options}
    )
