"""Plain pseudo-labels: pre-train on labels, then learn from a moving average of oneself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, cast

from torch import Tensor, nn

from hinterland.methods.base import BuildContext, Losses, Phase
from hinterland.methods.options import require_numbers, require_one_of
from hinterland.methods.semi.base import SemiSupervised, supervision
from hinterland.methods.semi.cutmix import Arrangement, side_by_side
from hinterland.methods.semi.phases import SELF_TRAIN, TEACHER, two_phases, update_teacher
from hinterland.methods.semi.pseudo_labels import PseudoLabels
from hinterland.methods.semi.teacher import UNLABELLED, split_streams, teacher_mode, two_streams
from hinterland.methods.supervised import forward_with_features
from hinterland.networks.ema import ema_copy
from hinterland.types import Batch, Progress, View


@dataclass(frozen=True)
class PseudoLabel(SemiSupervised):
    """L = L_seg(Q_l, Y) + alpha L_seg(Q_u, P), P the teacher's most probable cells.

    The first `pretrain` of the steps see labelled cases only; student and teacher go on from the
    best weights (see `Phase`). The teacher is the student's moving average (decay `ema`).
    component, threshold: see `PseudoLabels`. teacher: the mode it predicts in ("train": with
    dropout and batch statistics). It is BCP without its mixing.
    """

    choices: ClassVar[tuple[str, ...]] = UNLABELLED

    name: str = "pseudo-label"
    alpha: float = 0.5
    pretrain: float = 0.25
    ema: float = 0.99
    component: str = "largest"
    threshold: float = 0.0
    teacher: str = "eval"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_numbers(self.name, self, "pretrain", "ema", "threshold", high=1.0)
        require_numbers(self.name, self, "alpha")
        require_one_of(self.name, self, teacher=TEACHER)

    def build(self, context: BuildContext) -> nn.ModuleDict:
        pseudo = PseudoLabels(self.cells, context.label_sets, self.component, self.threshold)
        networks = super().build(replace(context, label_sets=pseudo.label_sets))
        networks["teacher"] = ema_copy(networks["network"])
        networks["pseudo"] = pseudo
        return networks

    def phases(self) -> tuple[Phase, ...]:
        return two_phases(self.pretrain, two_streams(self.unlabelled, self.labelled_share))

    def sources(self, batch: Batch, teaching: bool) -> Sequence[Batch]:
        """What is put together: labelled items, and when teaching also unlabelled ones."""
        return split_streams(batch) if teaching else (batch,)

    def arrange(self, images: Sequence[Tensor]) -> Arrangement:
        """How it is put together."""
        return side_by_side(*images)

    def losses(self, networks: nn.ModuleDict, batch: Batch, progress: Progress) -> Losses:
        teaching = progress.phase == SELF_TRAIN
        sources = self.sources(batch, teaching)
        rows = [source.annotation for source in sources]
        pseudo = cast(PseudoLabels, networks["pseudo"])
        if teaching:
            with teacher_mode(networks["teacher"], batch_statistics=self.teacher == "train"):
                seen = networks["teacher"](sources[1].image)
            rows[1] = pseudo(supervision(networks).estimate(seen))
        images = self.arrange([source.image for source in sources])
        levels, features = forward_with_features(networks["network"], images.image)
        values = images.losses(supervision(networks).loss, levels, rows)
        terms = dict(zip(("seg", "pseudo" if teaching else "other"), values, strict=False))
        weights = {"pseudo": self.alpha} if teaching else {}
        given = pseudo.hidden(images.rows(rows))
        view = View(images.image, levels[0], given, features=features)
        return Losses(terms, weights, (view,))

    def after_step(self, networks: nn.ModuleDict, progress: Progress) -> None:
        update_teacher(networks["teacher"], networks["network"], progress, self.ema)
