"""What teacher-student methods share: the two streams of a batch, noisy views, a quiet teacher."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hinterland.labels.scheme import UNLABELLED as NO_LABEL
from hinterland.methods.base import Quota
from hinterland.types import Batch, HinterlandError

UNLABELLED = ("rest", "all")
DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


def two_streams(
    unlabelled: str = "rest",
    share: float = 0.5,
    fine: tuple[str, ...] = (),
    coarse: tuple[str, ...] = (),
) -> tuple[Quota, Quota]:
    """Quotas "labelled" and "unlabelled"; `share` of the batch is labelled.

    unlabelled: "rest" draws that stream from the cases without a label; "all" draws it from every
    case, labels hidden, so that a method can also be trained with all labels at hand; "coarse"
    draws the labelled stream from the annotation schemes `fine` and the other one from `coarse` and
    from the cases without a label.
    HinterlandError for another word.
    """
    where: dict[str, tuple[dict[str, object], dict[str, object]]] = {
        "rest": ({"labelled": True}, {"labelled": False}),
        "all": ({"labelled": True}, {}),
        "coarse": ({"scheme": fine}, {"scheme": (*coarse, NO_LABEL)}),
    }
    if unlabelled not in where:
        raise HinterlandError(f"unlabelled={unlabelled!r}: expected 'rest' or 'all' (or 'coarse').")
    first, second = where[unlabelled]
    hidden = unlabelled != "coarse"
    return Quota("labelled", share, first), Quota("unlabelled", 1 - share, second, hidden)


def split_streams(batch: Batch) -> tuple[Batch, Batch]:
    """The labelled and the unlabelled items of a batch drawn by `two_streams`."""
    return batch.stream("labelled"), batch.stream("unlabelled")


def noisy(image: Tensor, sigma: float = 0.1, limit: float = 0.2) -> Tensor:
    """The image with Gaussian noise, clipped to +-limit: the perturbed view of the mean teacher."""
    return image + (torch.randn_like(image) * sigma).clamp(-limit, limit)


@contextmanager
def teacher_mode(
    teacher: nn.Module, *, dropout: bool = False, batch_statistics: bool = False
) -> Iterator[None]:
    """Inside, the teacher is in evaluation mode (running statistics, no gradients).

    It has no dropout then, unless that is asked for: Monte Carlo dropout. With `batch_statistics`
    it is in training mode altogether, but for gradients.
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


@contextmanager
def frozen_batch_statistics(network: nn.Module) -> Iterator[None]:
    """Inside, batch norms normalise as they would, but keep no running statistics of what they see:
    a pass over images that are not from the data must not enter them."""
    tracking = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for module in tracking:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in tracking:
            module.track_running_stats = True
