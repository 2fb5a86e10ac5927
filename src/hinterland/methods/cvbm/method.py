"""CVBM, cross-view bidirectional modelling (paper 3): foreground and background at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from hinterland.labels import Coarsening, common_refinement
from hinterland.losses.decoder_losses import Branch, Kind, make_branch
from hinterland.methods.base import BuildContext, Losses, Method, Phase
from hinterland.methods.cvbm.network import ComplementNetwork, CrossView, Outputs
from hinterland.methods.options import require_numbers, require_one_of
from hinterland.methods.ramps import sigmoid_ramp
from hinterland.methods.semi.cutmix import (
    Arrangement,
    box_mask,
    cut_mix,
    halves,
    pair,
    side_by_side,
)
from hinterland.methods.semi.phases import PRETRAIN, SELF_TRAIN, TEACHER, two_phases, update_teacher
from hinterland.methods.semi.pseudo_labels import COMPONENTS, PseudoLabels
from hinterland.methods.semi.teacher import UNLABELLED, split_streams, teacher_mode, two_streams
from hinterland.networks.base import Network, require_split
from hinterland.networks.ema import ema_copy
from hinterland.types import Batch, HinterlandError, Progress, View

CHOICES = {
    "views": ("cross", "foreground", "dual-foreground", "dual-background"),
    "complement": ("sigmoid", "softmax"),
    "ramp": ("sigmoid", "none"),
    "component": COMPONENTS,
    "unlabelled": UNLABELLED,
    "output": ("foreground", "mix", "average"),
    "teacher": TEACHER,
}


@dataclass(frozen=True)
class CVBM(Method):
    """A shared encoder, a foreground and a background decoder, and a layer that mixes the two.

    Pre-training on cut-mixed labelled pairs minimises L_fg + L_bg + L_M. Self-training, student and
    teacher from the best weights so far (see `Phase`), on cut-mixed labelled and unlabelled pairs:

        L = L_fg^l + w L_bg^l + alpha (L_fg^u + w L_bg^u) + lambda(t) L_bcl
        L_bcl = mse(Q_M, Q_fg) + mse(1 - Q_bg, Q_fg),  lambda(t) = consistency exp(-5 (1 - t)^2)

    with L_seg = Dice + CE, each term on its own region, summed over both mixtures. The teacher is
    the student's moving average and labels the unlabelled images. See docs/cvbm.md.

    views: "cross", or one foreground decoder, or two of one kind (ablations).
    complement: K sigmoids, or a softmax on multi-hot labels (the released code's).
    background_weight: w. mixed_weight: weight of L_M; 0 leaves psi to L_bcl (the released code).
    mixing_layer, direct, inverse: whether there is a psi, and the two halves of L_bcl. The direct
    half compares with Q_M: without a mixing layer there is none, whatever `direct` says.
    consistency, ramp: lambda at the end, and whether it rises ("none": constant).
    beta, cutmix: side of the box as a share of the patch, and whether to mix at all.
    second_weight: in pre-training, of the pair's second image (0: eqs. 5 to 7 as printed).
    pretrain: share of the steps. ema: decay of the teacher. teacher: the mode it predicts in
    ("train", with dropout and batch statistics: the released code's). component, unlabelled: see
    `PseudoLabels`, `two_streams`. output: what `probabilities` reads; `deployed` is always the
    first decoder's plain network.
    """

    on: tuple[Coarsening, ...]
    name: str = "cvbm"
    views: str = "cross"
    complement: str = "sigmoid"
    background_weight: float = 1.0
    mixed_weight: float = 1.0
    mixing_layer: bool = True
    direct: bool = True
    inverse: bool = True
    alpha: float = 0.5
    consistency: float = 0.1
    ramp: str = "sigmoid"
    beta: float = 2 / 3
    cutmix: bool = True
    second_weight: float = 1.0
    pretrain: float = 0.25
    ema: float = 0.99
    teacher: str = "eval"
    component: str = "largest"
    unlabelled: str = "rest"
    output: str = "foreground"

    def __post_init__(self) -> None:
        require_one_of("cvbm", self, **CHOICES)
        for field in ("mixing_layer", "direct", "inverse", "cutmix"):
            if getattr(self, field) not in (True, False):
                raise HinterlandError(
                    f"cvbm: {field}={getattr(self, field)!r}; expected true or false."
                )
        require_numbers("cvbm", self, "beta", "pretrain", "ema", high=1.0)
        require_numbers(
            "cvbm", self, "background_weight", "mixed_weight", "second_weight", "alpha",
            "consistency",
        )  # fmt: skip
        if self.output != "foreground" and self.views == "foreground":
            raise HinterlandError(f"cvbm: output={self.output!r} needs a second decoder (views).")
        if self.output == "mix" and not self.mixing_layer:
            raise HinterlandError("cvbm: output='mix' needs mixing_layer=true.")

    @property
    def cells(self) -> Coarsening:
        return common_refinement(self.on)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What each decoder is asked."""
        complement: Kind = "complement" if self.complement == "sigmoid" else "complement-softmax"
        first: Kind = complement if self.views == "dual-background" else "foreground"
        second: Kind = "foreground" if self.views == "dual-foreground" else complement
        return (first,) if self.views == "foreground" else (first, second)

    @property
    def uses_unlabelled(self) -> bool:
        """Whether self-training has a use for unlabelled images. Where not, the student is not
        shown them: its batch norms would learn from them."""
        compares = len(self.kinds) > 1 and (self.inverse or (self.direct and self.mixing_layer))
        return self.cutmix or self.alpha > 0 or (compares and self.consistency > 0)

    def build(self, context: BuildContext) -> nn.ModuleDict:
        network = require_split(context.create_network(len(self.cells)), self.name)
        student = CrossView(
            network, second=len(self.kinds) > 1, mixing=self.mixing_layer, seed=context.seed
        )
        pseudo = PseudoLabels(self.cells, context.label_sets, self.component)
        branches = [
            make_branch(kind, self.on, self.cells, pseudo.label_sets, context.batch_dice)
            for kind in self.kinds
        ]
        return nn.ModuleDict(
            {
                "student": student,
                "teacher": ema_copy(student),
                "branches": nn.ModuleList(branches),
                "pseudo": pseudo,
            }
        )

    def phases(self) -> tuple[Phase, ...]:
        return two_phases(self.pretrain, two_streams(self.unlabelled))

    def losses(self, networks: nn.ModuleDict, batch: Batch, progress: Progress) -> Losses:
        branches = _branches(networks)
        if progress.phase == PRETRAIN:
            images, rows, second = self._labelled_pairs(batch, len(branches))
        else:
            images, rows, second = self._pseudo_labelled(networks, batch)
        outputs = cast(Outputs, networks["student"](images.image))
        weights = {"fg": 1.0, "bg": self.background_weight, "mix": self.mixed_weight}
        scored = {"fg": (branches[0], outputs.first, rows[0])}
        if outputs.second is not None:
            scored["bg"] = (branches[1], outputs.second, rows[1])
        if outputs.mixed is not None and progress.phase == PRETRAIN:
            scored["mix"] = (branches[0], [outputs.mixed], rows[0])
        terms = {}
        for name, (branch, levels, said) in scored.items():
            own, *others = images.losses(branch.loss, levels, said)
            terms[name] = own
            for other in others:
                terms[f"{name}_u"] = other
                weights[f"{name}_u"] = second * weights[name]
        if progress.phase == SELF_TRAIN and outputs.second is not None:
            terms["bcl"] = self._consistency(branches, outputs, len(images.parts) // 2)
            rise = sigmoid_ramp(progress.fraction) if self.ramp == "sigmoid" else 1.0
            weights["bcl"] = self.consistency * rise
        view = self._view(networks, images, rows[0], outputs)
        return Losses(terms, {name: weights[name] for name in terms}, (view,))

    def _labelled_pairs(
        self, batch: Batch, decoders: int
    ) -> tuple[Arrangement, list[list[Tensor]], float]:
        """Pre-training: two labelled halves, cut-mixed; the same rows for each decoder."""
        if not self.cutmix:
            return side_by_side(batch.image), [[batch.annotation]] * decoders, 0.0
        pairs = halves(batch)
        rows = [b.annotation for b in pairs]
        return self._cut_mix(pairs), [rows] * decoders, self.second_weight

    def _pseudo_labelled(
        self, networks: nn.ModuleDict, batch: Batch
    ) -> tuple[Arrangement, list[list[Tensor]], float]:
        """Self-training: labelled and pseudo-labelled images, each decoder with its own rows."""
        labelled, unlabelled = split_streams(batch)
        if not self.uses_unlabelled:
            return side_by_side(labelled.image), [[labelled.annotation]] * len(self.kinds), 0.0
        if self.cutmix:
            labelled, unlabelled = pair(labelled, unlabelled)
        with teacher_mode(networks["teacher"], batch_statistics=self.teacher == "train"):
            seen = cast(Outputs, networks["teacher"](unlabelled.image))
        levels = [seen.first] if seen.second is None else [seen.first, seen.second]
        rows = [
            [labelled.annotation, networks["pseudo"](branch.estimate(level[0]))]
            for branch, level in zip(_branches(networks), levels, strict=True)
        ]
        both = (labelled, unlabelled)
        images = self._cut_mix(both) if self.cutmix else side_by_side(*(b.image for b in both))
        return images, rows, self.alpha

    def _cut_mix(self, pairs: Sequence[Batch]) -> Arrangement:
        one, other = (b.image for b in pairs)
        return cut_mix(one, other, box_mask(one.shape[2:], self.beta, device=one.device))

    def _consistency(self, branches: list[Branch], outputs: Outputs, mixtures: int) -> Tensor:
        """L_bcl, summed over the mixtures (eq. 19)."""
        assert outputs.second is not None
        first = branches[0].estimate(outputs.first[0])
        total = first.new_zeros(())
        if self.direct and outputs.mixed is not None:
            total = total + F.mse_loss(branches[0].estimate(outputs.mixed), first)
        if self.inverse:
            total = total + F.mse_loss(branches[1].estimate(outputs.second[0]), first)
        return mixtures * total

    def _view(
        self, networks: nn.ModuleDict, images: Arrangement, rows: list[Tensor], outputs: Outputs
    ) -> View:
        """For regularisers: ground truth where there is any, row 0 on pseudo-labelled voxels."""
        given = cast(PseudoLabels, networks["pseudo"]).hidden(images.rows(rows))
        return View(images.image, outputs.first[0], given, features=outputs.features)

    def probabilities(self, networks: nn.ModuleDict, image: Tensor) -> Tensor:
        student = cast(CrossView, networks["student"])
        if self.output == "foreground":
            return _normalise(_branches(networks)[0].estimate(student.network(image)))
        first, *others = self._predictions(networks, student(image))
        return _normalise(others[-1] if self.output == "mix" else (first + others[0]) / 2)

    def ensemble_predictions(self, networks: nn.ModuleDict, image: Tensor) -> list[Tensor]:
        outputs = cast(Outputs, networks["student"](image))
        return [_normalise(opinion) for opinion in self._predictions(networks, outputs)]

    def _predictions(self, networks: nn.ModuleDict, outputs: Outputs) -> list[Tensor]:
        """Of the first decoder, the second one, and the mixing layer, where they are."""
        branches = _branches(networks)
        found = [branches[0].estimate(outputs.first[0])]
        if outputs.second is not None:
            found.append(branches[1].estimate(outputs.second[0]))
        if outputs.mixed is not None:
            found.append(branches[0].estimate(outputs.mixed))
        return found

    def deployed(self, networks: nn.ModuleDict) -> Network:
        network = cast(CrossView, networks["student"]).network
        if self.views != "dual-background":
            return network
        return ComplementNetwork(network, softmax=self.complement == "softmax")

    def parameters(self, networks: nn.ModuleDict, optimiser: str) -> Iterator[nn.Parameter]:
        del optimiser
        return networks["student"].parameters()

    def after_step(self, networks: nn.ModuleDict, progress: Progress) -> None:
        update_teacher(networks["teacher"], networks["student"], progress, self.ema)


def _branches(networks: nn.ModuleDict) -> list[Branch]:
    return [cast(Branch, b) for b in cast(nn.ModuleList, networks["branches"])]


def _normalise(estimate: Tensor) -> Tensor:
    """Estimates of single classes as a distribution; one that is a distribution stays as it is."""
    return estimate / estimate.sum(dim=1, keepdim=True).clamp(min=1e-8)
