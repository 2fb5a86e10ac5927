"""Be one batch ahead: make or copy the next one while the network learns from this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from hinterland.types import Batch

Work = TypeVar("Work", covariant=True)


class Source(Protocol[Work]):
    """What batches are made from, in the order of the steps."""

    def __iter__(self) -> Iterator[Work]: ...

    def __len__(self) -> int: ...


class Ahead(Generic[Work]):
    """Batches on a device, in the order of what they are made from.

    On CUDA the next batch is made on a stream of its own before the last one is handed out, so that
    copies and augmentation run beside the step. Elsewhere each is made when it is asked for.

    Args:
        source: What each batch is made from.
        make: Makes the batch on the device, without waiting for it.
        device: Where.
    """

    def __init__(
        self, source: Source[Work], make: Callable[[Any], Batch], device: torch.device
    ) -> None:
        self.source, self.make, self.device = source, make, device

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[Batch]:
        if self.device.type != "cuda":
            yield from map(self.make, self.source)
            return
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))  # what batches are made of
        waiting: tuple[Batch, torch.cuda.Event] | None = None
        for work in self.source:
            with torch.cuda.stream(stream):
                made = self.make(work), stream.record_event()
            if waiting is not None:
                yield self._hand_out(*waiting)
            waiting = made
        if waiting is not None:
            yield self._hand_out(*waiting)

    def _hand_out(self, batch: Batch, made: torch.cuda.Event) -> Batch:
        """Let the network's stream wait for a batch, and keep its memory until it is done there."""
        using = torch.cuda.current_stream(self.device)
        using.wait_event(made)
        for field in fields(batch):
            if isinstance(value := getattr(batch, field.name), Tensor):
                value.record_stream(using)
        return batch
