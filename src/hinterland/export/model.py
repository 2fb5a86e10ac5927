"""What an exporter takes out of a run: network, plan, and the integer of each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hinterland.data.io.volume import file_ending
from hinterland.labels import group_values
from hinterland.types import HinterlandError, Plan

if TYPE_CHECKING:
    from torch import nn

    from hinterland.training.runs.run import Run


@dataclass(frozen=True)
class ExportedModel:
    """A trained network as other software is to run it.

    Attributes:
        network: (B, C, *patch) -> logits (B, K, *patch), in evaluation mode.
        architecture: the network's name.
        labels: the output channels by name, in their order -> the integer each is written as.
        mirror: axes of the patch (0 first) that prediction may flip.
        file_ending: of the images trained on.
        dataset: name of the data set trained on.
    """

    network: nn.Module
    architecture: str
    plan: Plan
    labels: dict[str, int]
    mirror: tuple[int, ...]
    file_ending: str
    dataset: str

    @classmethod
    def of(cls, run: Run, checkpoint: Literal["best", "last"] | None = None) -> ExportedModel:
        """Read the model of a run; `checkpoint` defaults to the one the run reports."""
        record, method = run.record, run.method
        return cls(
            network=method.deployed(run.networks(checkpoint)),
            architecture=record.train.network,
            plan=record.plan,
            labels=group_values(method.cells, record.spec.default_scheme),
            mirror=tuple(range(record.plan.dims)) if run.mirrored else (),
            file_ending=_ending(run),
            dataset=record.dataset["name"],
        )


def _ending(run: Run) -> str:
    """Return the ending of the images trained on; NIfTI where the data set is gone."""
    try:
        return file_ending(run.dataset.cases[0].images[0])
    except HinterlandError:
        return ".nii.gz"
