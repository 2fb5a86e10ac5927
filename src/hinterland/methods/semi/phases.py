"""Two phases, on labels and then with a teacher: what CVBM, BCP and plain pseudo-labels share."""

from __future__ import annotations

from torch import nn

from hinterland.methods.base import Phase, Quota
from hinterland.networks.ema import ema_update
from hinterland.types import Progress

PRETRAIN, SELF_TRAIN = "pre-train", "self-train"
TEACHER = ("eval", "train")
"""The modes that a teacher may predict in; see `teacher.teacher_mode`."""


def two_phases(pretrain: float, streams: tuple[Quota, ...]) -> tuple[Phase, ...]:
    """Pre-training on labelled cases for that share of the steps, then self-training on `streams`
    from the best weights. A phase without a step is left out."""
    labelled = (Quota("labelled", where={"labelled": True}),)
    before = Phase(PRETRAIN, pretrain, labelled)
    after = Phase(SELF_TRAIN, 1 - pretrain, streams, "best")
    return tuple(phase for phase in (before, after) if phase.share > 0)


def update_teacher(
    teacher: nn.Module, student: nn.Module, progress: Progress, decay: float
) -> None:
    """After a step: the teacher becomes the student's moving average.

    While pre-training it is the student, so that both start from the best weights.
    """
    ema_update(teacher, student, decay if progress.phase == SELF_TRAIN else 0.0)
