"""Subclasses from few fine and many coarse labels (paper 4), for trees of any depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast, get_args

import torch
from torch import Tensor, nn

from hinterland.labels import Coarsening, LabelSpec
from hinterland.losses.soft import soft_cross_entropy, soft_target_dice_loss
from hinterland.methods.base import BuildContext, Losses, Method, Phase, Quota
from hinterland.methods.options import require_numbers, require_one_of
from hinterland.methods.subclass.heads import LevelNetwork, make_level_head
from hinterland.methods.subclass.hierarchical_mix import (
    HierarchicalMix,
    Schedule,
    draw_turn,
    ramp,
    threshold,
)
from hinterland.methods.subclass.levels import (
    LevelLosses,
    check_levels,
    schemes_known_at,
    tree_levels,
)
from hinterland.networks.base import Network, require_split
from hinterland.types import Batch, HinterlandError, Progress, View

Parts = Literal["both", "mixup", "pseudo"]


@dataclass(frozen=True)
class Subclass(Method):
    """L = sum_d L_seg(level d) + w(t) L_seg(f(x_mix), alpha z + (1 - alpha) z_pse).

    on: the levels, superclasses first, cells last. fine, coarse: names of the annotation schemes
    that know the last level, and of those that do not; they follow from the labels and are no
    options.

    pc, sn, hm: Prior Concatenation, Separate Normalization, HierarchicalMix. Without any of them it
    is the Modified U-Net, a head a level. share: part of a batch that is fine-labelled. marginal:
    one head over the cells instead of a head a level, whose summed probabilities answer at the
    levels, so that coarse annotations supervise inner nodes (ours; needs pc and sn off). shared:
    one convolution block before plain heads, as released. tau_floor, tau: the threshold of
    pseudo-labels and its schedule. alpha: lower end of the range of the mixing weight (up to 1).
    hm_gradient: False is the released behaviour, no gradient through f(x_mix). parts: "mixup" or
    "pseudo" leave out the other half of HierarchicalMix.
    """

    derived: ClassVar[tuple[str, ...]] = ("fine", "coarse")
    on: tuple[Coarsening, ...]
    fine: tuple[str, ...]
    coarse: tuple[str, ...]
    name: str = "subclass"
    pc: bool = True
    sn: bool = True
    hm: bool = True
    share: float = 0.5
    marginal: bool = False
    shared: bool = False
    tau: Schedule = "linear"
    tau_floor: float = 0.4
    alpha: float = 0.5
    hm_gradient: bool = True
    parts: Parts = "both"

    def __post_init__(self) -> None:
        if self.marginal and (self.pc or self.sn or self.shared):
            raise HinterlandError(
                "marginal=true is a single plain head: set pc=false and sn=false, and leave shared "
                "away."
            )
        if self.shared and self.sn:
            raise HinterlandError("shared=true is a block before plain heads: set sn=false.")
        require_one_of(self.name, self, tau=get_args(Schedule), parts=get_args(Parts))
        require_numbers(self.name, self, "share", "alpha", "tau_floor", high=1.0, above=True)

    @property
    def cells(self) -> Coarsening:
        return self.on[-1]

    @property
    def heads(self) -> tuple[Coarsening, ...]:
        """The levels that have a head of their own."""
        return self.on[-1:] if self.marginal else self.on

    def build(self, context: BuildContext) -> nn.ModuleDict:
        plain = require_split(context.create_network(len(self.cells)), self.name)
        head = make_level_head(
            self.heads, plain.widths[0], plain.dims, pc=self.pc, sn=self.sn, shared=self.shared,
            seed=context.seed + 1,
        )  # fmt: skip
        losses = LevelLosses(
            self.on, context.label_sets, cells=self.cells if self.marginal else None,
            batch_dice=context.batch_dice,
        )  # fmt: skip
        return nn.ModuleDict(
            {
                "network": LevelNetwork(plain, head, len(self.cells)),
                "losses": losses,
                "mix": HierarchicalMix(self.cells, context.label_sets),
            }
        )

    def phases(self) -> tuple[Phase, ...]:
        return (Phase(quotas=fine_and_coarse(self.fine, self.coarse, self.share)),)

    def losses(self, networks: nn.ModuleDict, batch: Batch, progress: Progress) -> Losses:
        network = cast(LevelNetwork, networks["network"])
        features = network.encode(batch.image)
        decoded = network.decode(features)
        levels = network.head.levels(decoded)
        answers = levels * len(self.on) if self.marginal else levels
        terms: dict[str, Tensor] = networks["losses"](answers, batch.annotation)
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
        self, networks: nn.ModuleDict, batch: Batch, logits: Tensor, fraction: float
    ) -> dict[str, Tensor]:
        """L_p of the coarse items, each with a fine-labelled item drawn at random."""
        coarse = [i for i, s in enumerate(batch.streams) if s == "coarse"]
        fine = [i for i, s in enumerate(batch.streams) if s == "fine"]
        if not coarse or not fine:
            return {}
        network, mix = networks["network"], cast(HierarchicalMix, networks["mix"])
        own, p = batch.take(coarse), logits[coarse].detach().float().softmax(dim=1)
        if self.parts == "mixup":
            pseudo = mix.known(own.annotation, p)
        else:
            turn = draw_turn(tuple(own.image.shape[2:]))
            with torch.no_grad():
                other = turn.undo(network(turn(own.image)).float().softmax(dim=1))
            tau = threshold(fraction, self.tau_floor, self.tau)
            pseudo = mix.pseudo(p, other, own.annotation, tau)
        if self.parts == "pseudo":
            return self._soft(logits[coarse], pseudo)
        partners = batch.take([fine[int(torch.randint(len(fine), ()))] for _ in coarse])
        alpha = self.alpha + (1 - self.alpha) * torch.rand(len(coarse)).to(own.image)
        mixed = mix.mix(own.image, own.annotation, partners.image, partners.annotation, alpha)
        target = mixed.target(alpha.float(), pseudo)
        with torch.set_grad_enabled(self.hm_gradient and torch.is_grad_enabled()):
            return self._soft(network(mixed.image), target)

    def _soft(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        log_p = logits.float().log_softmax(dim=1)
        dice = soft_target_dice_loss(log_p.exp(), target, list(self.cells.foreground))
        return {"mix/ce": soft_cross_entropy(log_p, target), "mix/dice": dice}

    def probabilities(self, networks: nn.ModuleDict, image: Tensor) -> Tensor:
        return networks["network"](image).float().softmax(dim=1)

    def deployed(self, networks: nn.ModuleDict) -> Network:
        return cast(Network, networks["network"])


def fine_and_coarse(
    fine: tuple[str, ...], coarse: tuple[str, ...], share: float
) -> tuple[Quota, ...]:
    """Quotas "fine" (`share` of the batch) and "coarse", by annotation scheme."""
    if not fine:
        raise HinterlandError(
            "no annotation scheme tells all subclasses apart, so no case is fine-labelled. Add a "
            "scheme to labels.yaml whose values are leaves."
        )
    quotas = (Quota("fine", share, {"scheme": fine}),)
    if not coarse or share >= 1:
        return quotas
    return (*quotas, Quota("coarse", 1 - share, {"scheme": coarse}))


def make_subclass(spec: LabelSpec, on: tuple[Coarsening, ...], **options: Any) -> Subclass:
    """The method for the labels at hand; `on` defaults to every level of the tree."""
    levels = check_levels(on) or tree_levels(spec.tree)
    fine, coarse = schemes_known_at(spec, levels[-1])
    return Subclass(levels, fine, coarse, **options)


def make_two_head(spec: LabelSpec, on: tuple[Coarsening, ...], **options: Any) -> Subclass:
    """Modified U-Net: a head a level, nothing else."""
    return make_subclass(
        spec, on, **{"name": "two-head", "pc": False, "sn": False, "hm": False, **options}
    )
