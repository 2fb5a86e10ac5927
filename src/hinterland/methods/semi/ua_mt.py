"""UA-MT (Yu et al. 2019): a mean teacher that is followed only where it is sure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hinterland.losses import all_sum
from hinterland.methods.options import require_numbers
from hinterland.methods.ramps import sigmoid_ramp
from hinterland.methods.semi.mean_teacher import MeanTeacher


@dataclass(frozen=True)
class UncertaintyAwareMeanTeacher(MeanTeacher):
    """The mean teacher, its consistency averaged over voxels of low uncertainty:

    L_c = sum_v [u_v < H(t)] mean_c (p - p')^2 / sum_v [u_v < H(t)]
    u = -sum_c m_c log m_c,  m the mean of `passes` noisy passes of the teacher
    H(t) = (floor + (1 - floor) exp(-5 (1 - t)^2)) log(cells)
    """

    name: str = "ua-mt"
    passes: int = 8
    floor: float = 0.75

    def __post_init__(self) -> None:
        super().__post_init__()
        require_numbers(self.name, self, "floor", high=1.0)
        require_numbers(self.name, self, "passes", low=1.0, whole=True)

    def disagreement(self, teacher: nn.Module, image: Tensor, p: Tensor, t: float) -> Tensor:
        target = self.teach(teacher, image)
        mean = torch.stack([self.teach(teacher, image) for _ in range(self.passes)]).mean(dim=0)
        return certain_mse(p, target, mean, threshold(t, p.shape[1], self.floor))


def threshold(t: float, cells: int, floor: float = 0.75) -> float:
    """H(t), in nats: from nearly floor log(cells) up to log(cells)."""
    return (floor + (1 - floor) * sigmoid_ramp(t)) * math.log(cells)


def certain_mse(p: Tensor, target: Tensor, mean: Tensor, limit: float) -> Tensor:
    """Squared difference over the voxels where the entropy of `mean` is below `limit`, or 0."""
    certain = torch.special.entr(mean).sum(dim=1) < limit
    apart = all_sum(((p - target).square().mean(dim=1) * certain).sum())
    return apart / all_sum(certain.sum()).clamp(min=1)
