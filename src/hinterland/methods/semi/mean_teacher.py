"""Mean teacher (Tarvainen and Valpola 2017): agree with the moving average of oneself."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from hinterland.methods.base import BuildContext, Losses
from hinterland.methods.options import require_numbers, require_one_of
from hinterland.methods.ramps import sigmoid_ramp
from hinterland.methods.semi.base import SemiSupervised, supervision
from hinterland.methods.semi.teacher import noisy, teacher_mode
from hinterland.methods.supervised import forward_with_features
from hinterland.networks.ema import ema_copy, ema_decay, ema_update
from hinterland.types import Batch, Progress

PERTURBATIONS = ("noise", "strong")


@dataclass(frozen=True)
class MeanTeacher(SemiSupervised):
    """L = L_seg + consistency exp(-5 (1 - t)^2) mse(p, p'), on labelled and unlabelled images.

    p are the student's probabilities; p' those of its moving average (decay `ema`) on the image
    with noise of standard deviation `noise`, clipped at twice that, its dropout on.

    perturbation: "noise", as above; with "strong" the student sees strong views of the images of
    the unlabelled stream (`strong_views`), and the teacher weak ones, as above.
    """

    name: str = "mean-teacher"
    consistency: float = 0.1
    noise: float = 0.1
    ema: float = 0.99
    perturbation: str = "noise"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_numbers(self.name, self, "ema", high=1.0)
        require_numbers(self.name, self, "consistency", "noise")
        require_one_of(self.name, self, perturbation=PERTURBATIONS)

    def build(self, context: BuildContext) -> nn.ModuleDict:
        networks = super().build(context)
        networks["teacher"] = ema_copy(networks["network"])
        return networks

    def losses(self, networks: nn.ModuleDict, batch: Batch, progress: Progress) -> Losses:
        both = self.join(batch)
        seen = both.with_strong_views() if self.perturbation == "strong" else both
        levels, features = forward_with_features(networks["network"], seen.image)
        p = supervision(networks).estimate(levels[0])
        terms = {
            "seg": supervision(networks).loss(both.labelled(levels), both.rows),
            "consistency": self.disagreement(networks["teacher"], both.image, p, progress.fraction),
        }
        weights = {"consistency": self.consistency * sigmoid_ramp(progress.fraction)}
        return Losses(terms, weights, (seen.view(levels[0], features),))

    def disagreement(self, teacher: nn.Module, image: Tensor, p: Tensor, t: float) -> Tensor:
        """mse(p, p'); `t` is the share of training that is done."""
        del t
        return F.mse_loss(p, self.teach(teacher, image))

    def teach(self, teacher: nn.Module, image: Tensor) -> Tensor:
        """p': the teacher's probabilities under fresh noise and dropout."""
        with teacher_mode(teacher, dropout=True):
            return teacher(noisy(image, self.noise, 2 * self.noise)).float().softmax(dim=1)

    def after_step(self, networks: nn.ModuleDict, progress: Progress) -> None:
        ema_update(networks["teacher"], networks["network"], ema_decay(progress.step, self.ema))
