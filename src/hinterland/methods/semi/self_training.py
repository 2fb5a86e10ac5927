"""Self-training: pre-train on labels, then learn from a teacher that is one's moving average."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar, final

from torch import Tensor, nn

from hinterland.methods.base import Phase
from hinterland.methods.options import OneOf, Share, Weight
from hinterland.methods.parts.cutmix import (
    Arrangement,
    box_mask,
    cut_mix,
    halves,
    pair,
    side_by_side,
)
from hinterland.methods.parts.pseudo_labels import Component, PseudoLabels
from hinterland.methods.parts.streams import PRETRAIN, split_streams, two_phases
from hinterland.methods.parts.teacher import TeacherMode, teacher_mode
from hinterland.methods.semi.base import SemiSupervised
from hinterland.networks.container import Networks
from hinterland.types import Batch, HinterlandError, Progress

Region = Annotated[str, OneOf("joined", "printed")]


class TaughtNetworks(Networks):
    """What self-training needs of a container: a teacher, and what writes its pseudo-labels."""

    teacher: nn.Module
    pseudo: PseudoLabels


N = TypeVar("N", bound=TaughtNetworks)


@dataclass(frozen=True)
class Mixing:
    """How images are cut and pasted.

    Attributes:
        beta: side of the box as a share of the patch.
        pretrain: whether to mix labelled images while pre-training, too.
        second_weight: in pre-training, of the losses of the pair's second image.
    """

    beta: float
    pretrain: bool = True
    second_weight: float = 1.0

    def __call__(self, pair_of_batches: Sequence[Batch]) -> Arrangement:
        """Return both mixtures of two batches, along a box at a random place."""
        one, other = (b.image for b in pair_of_batches)
        return cut_mix(one, other, box_mask(one.shape[2:], self.beta, device=one.device))


@dataclass(frozen=True)
class Lesson:
    """The images and annotations that one step learns from.

    Attributes:
        images: put together from one or two sources.
        annotations: of each decoder, of each source.
        second_weight: of the losses of the second source.
    """

    images: Arrangement
    annotations: Sequence[Sequence[Tensor]]
    second_weight: float


@dataclass(frozen=True)
class SelfTraining(SemiSupervised[N]):
    """Pre-training on labels, then pseudo-labels of a teacher, mixed with labelled images or not.

    Attributes:
        alpha: weight of the losses of pseudo-labelled voxels.
        pretrain: share of the steps that see labelled cases only; student and teacher go on from
            the best weights (see `Phase`).
        ema: decay of the teacher, the student's moving average.
        component, threshold: see `PseudoLabels`.
        teacher: the mode it predicts in ("train": with dropout and batch statistics).
    """

    alpha: Weight = 0.5
    pretrain: Share = 0.25
    ema: Share = 0.99
    component: Component = "largest"
    threshold: Share = 0.0
    teacher: TeacherMode = "eval"

    def check(self) -> None:
        """Refuse to draw the second stream from coarsely labelled cases."""
        if self.unlabelled == "coarse":
            raise HinterlandError(
                f"{self.name}: unlabelled='coarse'; expected one of rest, all: the second stream "
                "has pseudo-labels."
            )

    @final
    def phases(self) -> tuple[Phase, ...]:
        return two_phases(self.pretrain, self.streams)

    @property
    @abstractmethod
    def mixing(self) -> Mixing | None:
        """How labelled and unlabelled images are mixed; None: they are not."""

    @property
    @abstractmethod
    def uses_unlabelled(self) -> bool:
        """Whether self-training has a use for unlabelled images.

        Where not, the student is not shown them: its batch norms would learn from them.
        """

    @abstractmethod
    def teach(self, networks: N, image: Tensor) -> list[Tensor]:
        """Return the teacher's probabilities of each cell, as each decoder sees them."""

    @final
    def teacher_of(self, networks: N) -> Callable[[Tensor], Tensor] | None:
        def probabilities(image: Tensor) -> Tensor:
            first = self.teach(networks, image)[0]
            return first / first.sum(dim=1, keepdim=True).clamp(min=1e-8)

        return probabilities

    @final
    def lesson(self, networks: N, batch: Batch, progress: Progress, decoders: int) -> Lesson:
        """Return the images and annotations of one step.

        Args:
            networks: students and teacher.
            batch: of the phase's streams.
            progress: tells the phase.
            decoders: how many of them learn, each from annotations of its own.

        Returns:
            Images, annotations for each decoder, and the weight of the pseudo-labels.
        """
        if progress.phase == PRETRAIN:
            return self._labelled(batch, decoders)
        labelled, unlabelled = split_streams(batch)
        if not self.uses_unlabelled:
            return Lesson(side_by_side(labelled.image), [[labelled.annotation]] * decoders, 0.0)
        if self.mixing:
            labelled, unlabelled = pair(labelled, unlabelled)
        pseudo = networks.pseudo
        with teacher_mode(networks.teacher, batch_statistics=self.teacher == "train"):
            seen = self.teach(networks, unlabelled.image)
        annotations = [[labelled.annotation, pseudo(p)] for p in seen]
        both = (labelled, unlabelled)
        images = self.mixing(both) if self.mixing else side_by_side(*(b.image for b in both))
        return Lesson(images, annotations, self.alpha)

    @final
    def _labelled(self, batch: Batch, decoders: int) -> Lesson:
        """Return the lesson of pre-training.

        It is the labelled images, in two halves that are mixed, or as they are.
        """
        if not self.mixing or not self.mixing.pretrain:
            return Lesson(side_by_side(batch.image), [[batch.annotation]] * decoders, 0.0)
        pairs = halves(batch)
        annotations = [b.annotation for b in pairs]
        return Lesson(self.mixing(pairs), [annotations] * decoders, self.mixing.second_weight)
