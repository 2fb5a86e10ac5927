"""UA-MT (Yu et al. 2019): a mean teacher that is followed only where it is sure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hinterland.losses.consistency import certain_mse
from hinterland.methods.options import Count, Share
from hinterland.methods.ramps import sigmoid_ramp
from hinterland.methods.semi.mean_teacher import ConsistentWithTeacher


@dataclass(frozen=True)
class UncertaintyAwareMeanTeacher(ConsistentWithTeacher):
    """The mean teacher, its consistency averaged over voxels of low uncertainty.

    D = sum_v [u_v < H(t)] mean_c (p - p')^2 / sum_v [u_v < H(t)]
    u = -sum_c m_c log m_c,  m the mean of `passes` noisy passes of the teacher
    H(t) = (floor + (1 - floor) exp(-5 (1 - t)^2)) log(cells)
    """

    name: str = "ua-mt"
    passes: Count = 8
    floor: Share = 0.75

    def disagreement(self, teacher: nn.Module, image: Tensor, p: Tensor, t: float) -> Tensor:
        target = self.teach(teacher, image)
        mean = torch.stack([self.teach(teacher, image) for _ in range(self.passes)]).mean(dim=0)
        return certain_mse(p, target, mean, threshold(t, p.shape[1], self.floor))


def threshold(t: float, cells: int, floor: float = 0.75) -> float:
    """Return H(t), in nats: from nearly floor log(cells) up to log(cells).

    Args:
        t: the share of training that is done.
        cells: number of classes.
        floor: the share of the greatest entropy at the beginning.

    Returns:
        The limit of entropy, in nats.
    """
    return (floor + (1 - floor) * sigmoid_ramp(t)) * math.log(cells)
