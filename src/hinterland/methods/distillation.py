"""Distillation (Hinton et al. 2015): one student of several trained teachers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from hinterland.labels import Coarsening, common_refinement
from hinterland.losses.distillation import TeacherLoss
from hinterland.losses.segmentation import SegmentationLoss
from hinterland.methods.base import BuildContext, Losses, Method, Phase, Quota
from hinterland.methods.options import PositiveShare, Weight
from hinterland.methods.parts.frozen import FrozenTeachers
from hinterland.networks.base import Network, forward_with_features
from hinterland.networks.container import Networks
from hinterland.types import Batch, Progress, View


class TaughtStudent(Networks):
    """A student, L_seg, its teachers, and what it learns from them."""

    network: Network
    supervision: SegmentationLoss
    teachers: FrozenTeachers
    lesson: TeacherLoss


@dataclass(frozen=True)
class Distillation(Method[TaughtStudent]):
    """L = label_weight L_seg + teacher_weight (KL(t || q) + dice_weight Dice(q, t)).

    L_seg, averaged over the coarsenings in `on`, is of the voxels with a label; the others are of
    every voxel of every case. t are the teachers' mean probabilities of what they tell apart, q
    the student's of the same groups, summed over its cells (the common refinement of `on`): a
    teacher of a coarse question says nothing of what is inside its groups. See `TeacherLoss`.

    The teachers (`BuildContext.teachers`) see the very patch that the student sees, augmented as
    it is, without gradients. Without any, as for prediction, the student is built all the same.

    Attributes:
        label_weight: of L_seg.
        teacher_weight: of what is learnt from teachers.
        dice_weight: of Dice in it.
        labelled_share: of each batch, drawn from cases with a label; the rest is drawn from those
            without one.
    """

    is_softmax: ClassVar[bool] = True
    needs_teachers: ClassVar[bool] = True

    on: tuple[Coarsening, ...]
    name: str = "distillation"
    label_weight: Weight = 1.0
    teacher_weight: Weight = 1.0
    dice_weight: Weight = 1.0
    labelled_share: PositiveShare = 1.0

    @property
    def cells(self) -> Coarsening:
        return common_refinement(self.on)

    def phases(self) -> tuple[Phase, ...]:
        labelled = Quota("labelled", self.labelled_share, {"labelled": True})
        if self.labelled_share == 1:
            return (Phase(quotas=(labelled,)),)
        other = Quota("unlabelled", 1 - self.labelled_share, {"labelled": False})
        return (Phase(quotas=(labelled, other)),)

    def build(self, context: BuildContext) -> TaughtStudent:
        teachers = FrozenTeachers(context.teachers)
        return TaughtStudent(
            network=context.create_network(len(self.cells)),
            supervision=context.segmentation_loss(self.on, self.cells),
            teachers=teachers,
            lesson=TeacherLoss(
                teachers.questions, teachers.counts, self.cells, batch_dice=context.batch_dice
            ),
        )

    def losses(self, networks: TaughtStudent, batch: Batch, progress: Progress) -> Losses:
        del progress
        levels, features = forward_with_features(networks.network, batch.image)
        taught = networks.lesson(levels, networks.teachers(batch.image))
        terms = {"seg": networks.supervision(levels, batch.annotation), **taught}
        weights = {
            "seg": self.label_weight,
            "soft-ce": self.teacher_weight,
            "soft-dice": self.teacher_weight * self.dice_weight,
        }
        view = View(
            batch.image, levels[0], batch.annotation, features=features, domain=batch.domain
        )
        return Losses(terms, weights, (view,))

    def probabilities(self, networks: TaughtStudent, image: Tensor) -> Tensor:
        return networks.network(image).float().softmax(dim=1)

    def deployed(self, networks: TaughtStudent) -> Network:
        return networks.network
