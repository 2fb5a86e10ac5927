"""CVBM, cross-view bidirectional modelling (paper 3): foreground and background at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, cast

import torch.nn.functional as F
from torch import Tensor, nn

from hinterland.labels import LabelSetTable
from hinterland.losses.base import VoxelLoss
from hinterland.losses.complement import FORMS, Complement, SoftmaxComplement
from hinterland.methods.base import BuildContext, Losses
from hinterland.methods.options import OneOf, Share, Weight
from hinterland.methods.parts.pseudo_labels import PseudoLabels
from hinterland.methods.parts.streams import PRETRAIN, SELF_TRAIN
from hinterland.methods.parts.teacher import update_teacher
from hinterland.methods.ramps import sigmoid_ramp
from hinterland.methods.semi.self_training import Mixing, Region, SelfTraining, TaughtNetworks
from hinterland.networks.architectures.cross_view import ComplementNetwork, CrossView, Outputs
from hinterland.networks.base import Network
from hinterland.networks.ema import ema_copy
from hinterland.networks.registry import require_split
from hinterland.types import Batch, HinterlandError, Progress, View

Views = Annotated[str, OneOf("cross", "foreground", "dual-foreground", "dual-background")]
Kind = Literal["foreground", "complement"]


class CrossViewNetworks(TaughtNetworks):
    """A student with two decoders, its teacher, and the loss of each decoder."""

    student: CrossView
    teacher: CrossView
    branches: nn.ModuleList
    pseudo: PseudoLabels

    @property
    def losses(self) -> list[VoxelLoss]:
        """The loss of each decoder."""
        return [cast(VoxelLoss, branch) for branch in self.branches]


@dataclass(frozen=True)
class CVBM(SelfTraining[CrossViewNetworks]):
    """A shared encoder, a foreground and a background decoder, and a layer that mixes the two.

    Pre-training on cut-mixed labelled pairs minimises L_fg + L_bg + L_M. Self-training, student and
    teacher from the best weights so far (see `Phase`), on cut-mixed labelled and unlabelled pairs:

        L = L_fg^l + w L_bg^l + alpha (L_fg^u + w L_bg^u) + lambda(t) L_bcl
        L_bcl = mse(Q_M, Q_fg) + mse(1 - Q_bg, Q_fg),  lambda(t) = consistency exp(-5 (1 - t)^2)

    The teacher is the student's moving average and labels the unlabelled images. See docs/cvbm.md.

    Attributes:
        views: "cross", or one foreground decoder, or two of one kind (ablations).
        complement: K sigmoids, in one of two forms (see `Complement`), or "softmax" on multi-hot
            labels (the released code's).
        background_weight: w.
        mixed_weight: weight of L_M; 0 leaves psi to L_bcl (the released code).
        mixed_labels: "pre-train" has L_M while pre-training only; "always" keeps it on the labelled
            images while self-training, too.
        mixing_layer, direct, inverse: whether there is a psi, and the two halves of L_bcl. The
            direct half compares with Q_M: without a mixing layer there is none, whatever `direct`
            says.
        consistency, ramp: lambda at the end, and whether it rises ("none": constant).
        beta, cutmix: side of the box as a share of the patch, and whether to mix at all.
        pretrain_cutmix: whether pre-training mixes, too.
        region: "joined" takes one loss of each image, its logits cut back together from both
            mixtures, times 2; "printed" takes a loss of each region (see `BidirectionalCopyPaste`).
        second_weight: in pre-training, of the pair's second image (0: eqs. 5 to 7 as printed).
        output: what `probabilities` reads; `deployed` is always the first decoder's plain network.
    """

    name: str = "cvbm"
    views: Views = "cross"
    complement: Annotated[str, OneOf(*FORMS, "softmax")] = "class-side"
    background_weight: Weight = 1.0
    mixed_weight: Weight = 1.0
    mixed_labels: Annotated[str, OneOf("pre-train", "always")] = "pre-train"
    mixing_layer: bool = True
    direct: bool = True
    inverse: bool = True
    consistency: Weight = 0.1
    ramp: Annotated[str, OneOf("sigmoid", "none")] = "sigmoid"
    beta: Share = 2 / 3
    cutmix: bool = True
    pretrain_cutmix: bool = True
    region: Region = "joined"
    second_weight: Weight = 1.0
    output: Annotated[str, OneOf("foreground", "mix", "average")] = "foreground"

    def check(self) -> None:
        """Refuse an output that the decoders do not have."""
        if self.output != "foreground" and self.views == "foreground":
            raise HinterlandError(f"cvbm: output={self.output!r} needs a second decoder (views).")
        if self.output == "mix" and not self.mixing_layer:
            raise HinterlandError("cvbm: output='mix' needs mixing_layer=true.")

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What each decoder is asked."""
        first: Kind = "complement" if self.views == "dual-background" else "foreground"
        second: Kind = "foreground" if self.views == "dual-foreground" else "complement"
        return (first,) if self.views == "foreground" else (first, second)

    @property
    def mixing(self) -> Mixing | None:
        if not self.cutmix:
            return None
        return Mixing(self.beta, self.pretrain_cutmix, self.second_weight)

    @property
    def uses_unlabelled(self) -> bool:
        compares = len(self.kinds) > 1 and (self.inverse or (self.direct and self.mixing_layer))
        return self.cutmix or self.alpha > 0 or (compares and self.consistency > 0)

    def build(self, context: BuildContext) -> CrossViewNetworks:
        network = require_split(context.create_network(len(self.cells)), self.name)
        student = CrossView(
            network, second=len(self.kinds) > 1, mixing=self.mixing_layer, seed=context.seed
        )
        pseudo = PseudoLabels(self.cells, context.label_sets, self.component, self.threshold)
        branches = [self._loss(kind, context, pseudo.label_sets) for kind in self.kinds]
        return CrossViewNetworks(
            student=student, teacher=ema_copy(student), branches=nn.ModuleList(branches),
            pseudo=pseudo,
        )  # fmt: skip

    def _loss(self, kind: Kind, context: BuildContext, table: LabelSetTable) -> VoxelLoss:
        if kind == "foreground":
            return context.segmentation_loss(self.on, self.cells, table)
        if self.complement == "softmax":
            return SoftmaxComplement(self.cells, table, batch_dice=context.batch_dice)
        return Complement(self.cells, table, batch_dice=context.batch_dice, form=self.complement)

    def teach(self, networks: CrossViewNetworks, image: Tensor) -> list[Tensor]:
        seen: Outputs = networks.teacher(image)
        levels = [seen.first] if seen.second is None else [seen.first, seen.second]
        return [b.estimate(q[0]) for b, q in zip(networks.losses, levels, strict=True)]

    def losses(self, networks: CrossViewNetworks, batch: Batch, progress: Progress) -> Losses:
        branches = networks.losses
        lesson = self.lesson(networks, batch, progress, len(branches))
        images, annotations = lesson.images, lesson.annotations
        outputs: Outputs = networks.student(images.image)
        weights = {"fg": 1.0, "bg": self.background_weight, "mix": self.mixed_weight}
        scored = {"fg": (branches[0], outputs.first, annotations[0])}
        if outputs.second is not None:
            scored["bg"] = (branches[1], outputs.second, annotations[1])
        if outputs.mixed is not None and (said := self._mixed_labels(annotations[0], progress)):
            scored["mix"] = (branches[0], [outputs.mixed], said)
        terms: dict[str, Tensor] = {}
        for name, (branch, levels, said) in scored.items():
            values = images.losses(branch, levels, said, joined=self.region == "joined")
            terms |= dict(zip((name, f"{name}_u"), values, strict=False))
            weights[f"{name}_u"] = lesson.second_weight * weights[name]
        if progress.phase == SELF_TRAIN and outputs.second is not None:
            terms["bcl"] = self._consistency(branches, outputs, len(images.parts) // 2)
            rise = sigmoid_ramp(progress.fraction) if self.ramp == "sigmoid" else 1.0
            weights["bcl"] = self.consistency * rise
        given = networks.pseudo.hidden(images.annotation(annotations[0]))
        view = View(images.image, outputs.first[0], given, features=outputs.features)
        return Losses(terms, {name: weights[name] for name in terms}, (view,))

    def _mixed_labels(self, annotations: Sequence[Tensor], progress: Progress) -> Sequence[Tensor]:
        """Return the labels that the mixing layer learns from.

        Those are the labels of both sources, or of the labelled one alone, or none.
        """
        if progress.phase == PRETRAIN:
            return annotations
        return annotations[:1] if self.mixed_labels == "always" else ()

    def _consistency(
        self, branches: Sequence[VoxelLoss], outputs: Outputs, mixtures: int
    ) -> Tensor:
        """Return L_bcl, summed over the mixtures (eq. 19)."""
        assert outputs.second is not None
        first = branches[0].estimate(outputs.first[0])
        total = first.new_zeros(())
        if self.direct and outputs.mixed is not None:
            total = total + F.mse_loss(branches[0].estimate(outputs.mixed), first)
        if self.inverse:
            total = total + F.mse_loss(branches[1].estimate(outputs.second[0]), first)
        return mixtures * total

    def probabilities(self, networks: CrossViewNetworks, image: Tensor) -> Tensor:
        student = networks.student
        if self.output == "foreground":
            return _normalise(networks.losses[0].estimate(student.network(image)))
        first, *others = self._predictions(networks, student(image))
        return _normalise(others[-1] if self.output == "mix" else (first + others[0]) / 2)

    def ensemble_predictions(self, networks: CrossViewNetworks, image: Tensor) -> list[Tensor]:
        found = self._predictions(networks, networks.student(image))
        return [_normalise(prediction) for prediction in found]

    def _predictions(self, networks: CrossViewNetworks, outputs: Outputs) -> list[Tensor]:
        """Of the first decoder, the second one, and the mixing layer, where they are."""
        branches = networks.losses
        found = [branches[0].estimate(outputs.first[0])]
        if outputs.second is not None:
            found.append(branches[1].estimate(outputs.second[0]))
        if outputs.mixed is not None:
            found.append(branches[0].estimate(outputs.mixed))
        return found

    def deployed(self, networks: CrossViewNetworks) -> Network:
        network = networks.student.network
        if self.views != "dual-background":
            return network
        return ComplementNetwork(network, softmax=self.complement == "softmax")

    def parameters(self, networks: CrossViewNetworks, optimiser: str) -> Iterator[nn.Parameter]:
        del optimiser
        return networks.student.parameters()

    def after_step(self, networks: CrossViewNetworks, progress: Progress) -> None:
        update_teacher(networks.teacher, networks.student, progress, self.ema)


def _normalise(estimate: Tensor) -> Tensor:
    """Estimates of single classes as a distribution; one that is a distribution stays as it is."""
    return estimate / estimate.sum(dim=1, keepdim=True).clamp(min=1e-8)
