"""Mean teacher (Tarvainen and Valpola 2017): agree with the moving average of oneself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, final

import torch.nn.functional as F
from torch import Tensor, nn

from hinterland.methods.base import BuildContext, Losses
from hinterland.methods.options import OneOf, Share, Weight
from hinterland.methods.parts.teacher import noisy, teacher_mode
from hinterland.methods.ramps import sigmoid_ramp
from hinterland.methods.semi.base import OnePhase
from hinterland.methods.supervised import StudentNetworks
from hinterland.networks.base import Network, forward_with_features
from hinterland.networks.ema import ema_copy, ema_decay, ema_update
from hinterland.types import Batch, Progress


class TeacherNetworks(StudentNetworks):
    """A student, L_seg, and its teacher."""

    teacher: Network


@dataclass(frozen=True)
class ConsistentWithTeacher(OnePhase[TeacherNetworks]):
    """L = L_seg + consistency exp(-5 (1 - t)^2) D(p, teacher), on both streams' images.

    p are the student's probabilities. The teacher is its moving average (decay `ema`) on the image
    with noise of standard deviation `noise`, clipped at twice that, its dropout on.

    Attributes:
        perturbation: "noise", as above; with "strong" the student sees strong views of the images
            of the unlabelled stream (`strong_augmentation`), and the teacher weak ones, as above.
    """

    consistency: Weight = 0.1
    noise: Weight = 0.1
    ema: Share = 0.99
    perturbation: Annotated[str, OneOf("noise", "strong")] = "noise"

    @abstractmethod
    def disagreement(self, teacher: nn.Module, image: Tensor, p: Tensor, t: float) -> Tensor:
        """Return D(p, teacher), the loss between the student's and the teacher's predictions.

        Args:
            teacher: in evaluation mode.
            image: (B, C, *space), the teacher's view.
            p: (B, cells, *space), the student's probabilities.
            t: the share of training that is done.

        Returns:
            A scalar.
        """

    @final
    def build(self, context: BuildContext) -> TeacherNetworks:
        network = context.create_network(len(self.cells))
        return TeacherNetworks(
            network=network,
            supervision=context.segmentation_loss(self.on, self.cells),
            teacher=ema_copy(network),
        )

    @final
    def losses(self, networks: TeacherNetworks, batch: Batch, progress: Progress) -> Losses:
        both, learn = self.join(batch), networks.supervision
        seen = both.with_strong_views() if self.perturbation == "strong" else both
        levels, features = forward_with_features(networks.network, seen.image)
        p = learn.estimate(levels[0])
        terms = {
            "seg": learn(both.labelled(levels), both.annotation),
            "consistency": self.disagreement(networks.teacher, both.image, p, progress.fraction),
        }
        weights = {"consistency": self.consistency * sigmoid_ramp(progress.fraction)}
        return Losses(terms, weights, (seen.view(levels[0], features),))

    @final
    def teach(self, teacher: nn.Module, image: Tensor) -> Tensor:
        """Return the teacher's probabilities under fresh noise and dropout."""
        with teacher_mode(teacher, dropout=True):
            return teacher(noisy(image, self.noise, 2 * self.noise)).float().softmax(dim=1)

    @final
    def teacher_of(self, networks: TeacherNetworks) -> Callable[[Tensor], Tensor] | None:
        return lambda image: networks.teacher(image).float().softmax(dim=1)

    @final
    def deployed(self, networks: TeacherNetworks) -> Network:
        return networks.network

    @final
    def after_step(self, networks: TeacherNetworks, progress: Progress) -> None:
        ema_update(networks.teacher, networks.network, ema_decay(progress.step, self.ema))


@dataclass(frozen=True)
class MeanTeacher(ConsistentWithTeacher):
    """D(p, teacher) = mse(p, p'), p' the teacher's probabilities."""

    name: str = "mean-teacher"

    def disagreement(self, teacher: nn.Module, image: Tensor, p: Tensor, t: float) -> Tensor:
        del t
        return F.mse_loss(p, self.teach(teacher, image))
