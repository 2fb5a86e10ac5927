"""Batch norms that see images which are not from the data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def frozen_batch_statistics(network: nn.Module) -> Iterator[None]:
    """Keep what batch norms see for a while out of their running statistics.

    They normalise as they would. A pass over images that are not from the data must not enter them.
    """
    tracking = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for module in tracking:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in tracking:
            module.track_running_stats = True
