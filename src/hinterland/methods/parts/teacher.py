"""What teacher-student methods share: noisy views, the teacher's mode, its moving average."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import torch
from torch import Tensor, nn

from hinterland.methods.options import OneOf
from hinterland.methods.parts.streams import SELF_TRAIN
from hinterland.networks.ema import ema_update
from hinterland.types import Progress

TeacherMode = Annotated[str, OneOf("eval", "train")]
DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


def noisy(image: Tensor, sigma: float = 0.1, limit: float = 0.2) -> Tensor:
    """Return the image with Gaussian noise, clipped to +-limit: a perturbed view.

    Args:
        image: (B, C, *space), normalised intensities.
        sigma: standard deviation of the noise.
        limit: at which the noise is clipped.

    Returns:
        The noisy image.
    """
    return image + (torch.randn_like(image) * sigma).clamp(-limit, limit)


@contextmanager
def teacher_mode(
    teacher: nn.Module, *, dropout: bool = False, batch_statistics: bool = False
) -> Iterator[None]:
    """Put the teacher into evaluation mode for a while: running statistics, no gradients.

    Args:
        teacher: whose mode is put back at the end.
        dropout: keep its dropout on: Monte Carlo dropout.
        batch_statistics: put it into training mode altogether, but for gradients.

    Yields:
        Nothing; gradients are off inside.
    """
    training = teacher.training
    teacher.train(batch_statistics)
    for module in teacher.modules() if dropout else ():
        if isinstance(module, DROPOUT):
            module.train()
    try:
        with torch.no_grad():
            yield
    finally:
        teacher.train(training)


def update_teacher(
    teacher: nn.Module, student: nn.Module, progress: Progress, decay: float
) -> None:
    """Make the teacher the student's moving average, after a step of self-training.

    While pre-training it is the student, so that both start from the best weights.

    Args:
        teacher: is changed in place.
        student: of the same architecture.
        progress: tells the phase.
        decay: share of the teacher that stays, from 0 to 1.
    """
    ema_update(teacher, student, decay if progress.phase == SELF_TRAIN else 0.0)
