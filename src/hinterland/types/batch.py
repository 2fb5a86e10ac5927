"""What a method is handed at each step, and what it hands back to regularisers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """One training batch of B items.

    image        (B, C, *spatial) float
    annotation   (B, *spatial) integers, numbers of label sets of the data set's `LabelSetTable`
    labelled     (B,) bool: does any voxel of the item carry an annotation
    image_labels (B, nodes) int8: 1 present, 0 absent, -1 unknown, one column per tree node
    covers       (B,) bool: does the patch show the whole image (image-label losses need it)
    streams      the quota each item was drawn for, in order; see `stream`
    """

    image: Tensor
    annotation: Tensor
    labelled: Tensor
    image_labels: Tensor
    covers: Tensor
    case: tuple[str, ...]
    group: tuple[str, ...]
    domain: tuple[str, ...]
    streams: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.case)

    def stream(self, name: str) -> Batch:
        """Take the items drawn for one quota, as a batch of their own (possibly empty)."""
        return self.take([i for i, s in enumerate(self.streams) if s == name])

    def take(self, index: Sequence[int]) -> Batch:
        """Take the items at these positions.

        Where they follow on each other at equal steps, the tensors are views of the batch's.
        """

        def pick(names: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(names[i] for i in index)

        return Batch(
            image=take(self.image, index),
            annotation=take(self.annotation, index),
            labelled=take(self.labelled, index),
            image_labels=take(self.image_labels, index),
            covers=take(self.covers, index),
            case=pick(self.case),
            group=pick(self.group),
            domain=pick(self.domain),
            streams=pick(self.streams),
        )

    def to(self, device: torch.device | str) -> Batch:
        """Move the batch to another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """Copy the batch to memory that a device can read by itself."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return replace(
            self,
            image=change(self.image),
            annotation=change(self.annotation),
            labelled=change(self.labelled),
            image_labels=change(self.image_labels),
            covers=change(self.covers),
        )


def take(values: Tensor, index: Sequence[int]) -> Tensor:
    """Return values[index] of a list of positions.

    It is made of slices: an index would be copied to the device, and the host would wait for it.
    """
    runs = _runs(index)
    if len(runs) == 1:
        return values[runs[0]]
    taken = values.new_empty((len(index), *values.shape[1:]))
    start = 0
    for run in runs:
        part = values[run]
        taken[start : start + len(part)] = part
        start += len(part)
    return taken


def _runs(index: Sequence[int]) -> list[slice]:
    """Cut positions into slices: one where all steps are the same, else runs of neighbours."""
    steps = {b - a for a, b in pairwise(index)}
    if len(index) < 2 or (len(steps) == 1 and min(steps) > 0):
        step = steps.pop() if steps else 1
        return [slice(index[0], index[-1] + 1, step) if index else slice(0)]
    breaks = [i for i, (a, b) in enumerate(pairwise(index), 1) if b != a + 1]
    ends = [*breaks, len(index)]
    return [slice(index[a], index[b - 1] + 1) for a, b in zip([0, *breaks], ends, strict=True)]


@dataclass(frozen=True)
class Progress:
    """Where training stands: the phase by name, the step inside it, and the phase's length.

    `optimiser` names the optimiser about to step (adversarial methods have two per step).
    """

    phase: str
    step: int
    steps: int
    optimiser: str = "main"

    @property
    def fraction(self) -> float:
        """Share of the phase that is done, 0 at its first step, in [0, 1)."""
        return self.step / max(self.steps, 1)


@dataclass(frozen=True)
class View:
    """One image as the network saw it, for regularisers to read.

    `annotation` holds numbers of label sets, `soft` a soft target over the network's cells; either
    may be missing. `logits` are (B, cells, *spatial) at full resolution. `features` maps layers'
    names ("encoder.0", "bottleneck", "decoder.0", ...) to feature maps. `valid` (B, *spatial) says
    where the annotation may be believed; None means everywhere. `forward_features` gives the
    features of another image of the same shape from the same network; None where the method
    offers no second look.
    """

    image: Tensor
    logits: Tensor
    annotation: Tensor | None = None
    soft: Tensor | None = None
    features: Mapping[str, Tensor] = field(default_factory=dict)
    valid: Tensor | None = None
    domain: tuple[str, ...] = ()
    forward_features: Callable[[Tensor], Mapping[str, Tensor]] | None = None
