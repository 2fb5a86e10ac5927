"""TotalSegmentator and VIBESegmentator as sources: NIfTI file in, label file out."""

from __future__ import annotations

import logging
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from hinterland.data.io.formats import is_flat
from hinterland.data.io.nifti import write
from hinterland.data.io.volume import file_ending, read_header, read_label, read_volume
from hinterland.supports.sources.foreign import Worker, interpreter
from hinterland.supports.sources.licences import (
    TOTALSEGMENTATOR,
    TOTALSEGMENTATOR_LICENSED,
    VIBESEGMENTATOR,
)
from hinterland.supports.sources.source import Licence, Support, of_integers
from hinterland.supports.structures import Structure
from hinterland.types import Case, Dataset, HinterlandError

log = logging.getLogger(__name__)


class _Tool(ABC):
    """Base of the two tools; a subclass says what to ask its worker."""

    kind: str
    variable: str
    package: str
    install: str
    default: tuple[str, ...] | None = None  # too many structures to want all unasked

    def __init__(self, channel: int, device: str | None) -> None:
        self.channel, self.device = channel, device

    @cached_property
    def _worker(self) -> Worker:
        return Worker(interpreter(self.variable, self.package, self.install), self.kind)

    @property
    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Version, and classes: structure -> integer."""

    @abstractmethod
    def _request(self, structures: Sequence[Structure]) -> dict[str, Any]:
        """Tell what to ask for each case."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.facts["classes"])

    def check(
        self, dataset: Dataset, cases: Sequence[Case], structures: Sequence[Structure]
    ) -> None:
        flat = [c.name for c in cases if any(is_flat(p) for p in c.images)]
        if flat:
            raise HinterlandError(
                f"{self.kind} segments 3D scans; {flat[0]} is a 2D picture. Use masks, or a model "
                "of your own."
            )
        if not 0 <= self.channel < len(dataset.channels):
            raise HinterlandError(
                f"--channel {self.channel}: the data set has the channels "
                f"{dict(enumerate(dataset.channels))}."
            )

    def segment(self, case: Case, structures: Sequence[Structure]) -> Support:
        with tempfile.TemporaryDirectory(prefix="hinterland-") as temporary:
            image = as_nifti(case, self.channel, Path(temporary))
            out = str(Path(temporary) / "segmentation.nii.gz")
            try:
                self._worker.ask("segment", image=str(image), out=out, **self._request(structures))
            except HinterlandError as error:
                raise HinterlandError(f"case {case.name}: {error}") from None
            found = read_label(out)
        values = {name: (int(v),) for name, v in self.facts["classes"].items()}
        return of_integers(found.array[0], found.affine, values, structures)

    def stamp(self, case: Case) -> str:
        """Return an empty text: nothing but the image counts."""
        return ""

    def close(self) -> None:
        if "_worker" in vars(self):
            self._worker.close()


class TotalSegmentator(_Tool):
    """`totalsegmentator.python_api.totalsegmentator`, one channel of each case.

    task: `total` (CT), `total_mr`, or any other of its tasks. fast: the 3 mm model. roi: compute
    only what the structures asked for need (tasks that begin with `total`): faster, a little less
    reliable at the border of its rough crop. licence_number: for tasks that need one.
    """

    kind = "totalsegmentator"
    variable, package = "HINTERLAND_TOTALSEGMENTATOR_PYTHON", "totalsegmentator"
    install = "torch TotalSegmentator"

    def __init__(
        self,
        task: str = "total",
        *,
        fast: bool = False,
        roi: bool = False,
        channel: int = 0,
        device: str | None = None,
        licence_number: str | None = None,
    ) -> None:
        super().__init__(channel, device)
        self.task, self.fast, self.roi, self._number = task, fast, roi, licence_number
        if roi and not task.startswith("total"):
            raise HinterlandError(
                f"--roi works with the tasks `total...`, not with {task!r}. Leave it away."
            )

    @cached_property
    def facts(self) -> dict[str, Any]:
        return self._worker.ask("describe", task=self.task)

    @property
    def licence(self) -> Licence | None:
        return TOTALSEGMENTATOR_LICENSED if self.facts["needs_licence"] else TOTALSEGMENTATOR

    def check(
        self, dataset: Dataset, cases: Sequence[Case], structures: Sequence[Structure]
    ) -> None:
        super().check(dataset, cases, structures)
        channel = dataset.channels[self.channel]
        if (channel.upper() == "CT") == self.task.endswith("_mr"):
            log.warning(
                "the task %s is for %s images; the channel is called %r",
                self.task, "MR" if self.task.endswith("_mr") else "CT", channel,
            )  # fmt: skip
        self._worker.ask("prepare", task=self.task, fast=self.fast, licence_number=self._number)

    def _request(self, structures: Sequence[Structure]) -> dict[str, Any]:
        roi = [n for s in structures for n in s.sources] if self.roi else None
        return {"task": self.task, "fast": self.fast, "roi": roi, "wanted_device": self.device}

    def provenance(self) -> dict[str, Any]:
        return {
            "kind": self.kind, "version": self.facts["version"], "task": self.task,
            "fast": self.fast, "roi": self.roi, "channel": self.channel,
        }  # fmt: skip


class VIBESegmentator(_Tool):
    """`TPTBox.segmentation.run_vibeseg`, one channel of each case.

    dataset_id: which of its models, 100 is the current one for MR (and CT). weights: a folder with
    nnUNet_results in it, default TPTBox's own.
    """

    kind = "vibesegmentator"
    variable, package = "HINTERLAND_VIBESEGMENTATOR_PYTHON", "TPTBox"
    install = "torch 'TPTBox[seg]'"
    licence: Licence | None = VIBESEGMENTATOR

    def __init__(
        self,
        dataset_id: int = 100,
        *,
        weights: Path | None = None,
        channel: int = 0,
        device: str | None = None,
    ) -> None:
        super().__init__(channel, device)
        self.dataset_id = dataset_id
        self.weights = None if weights is None else str(weights.resolve())

    @property
    def _model(self) -> dict[str, Any]:
        return {"dataset_id": self.dataset_id, "weights": self.weights}

    @cached_property
    def facts(self) -> dict[str, Any]:
        found = self._worker.ask("describe", **self._model)
        if not found["classes"]:  # unknown to the package: its weights say
            self._worker.ask("prepare", **self._model)
            found = self._worker.ask("describe", **self._model)
        return found

    def check(
        self, dataset: Dataset, cases: Sequence[Case], structures: Sequence[Structure]
    ) -> None:
        super().check(dataset, cases, structures)
        self._worker.ask("prepare", **self._model)

    def _request(self, structures: Sequence[Structure]) -> dict[str, Any]:
        return {**self._model, "wanted_device": self.device}

    def provenance(self) -> dict[str, Any]:
        return {
            "kind": self.kind, "version": self.facts["version"], **self._model,
            "channel": self.channel,
        }  # fmt: skip


def as_nifti(case: Case, channel: int, folder: Path) -> Path:
    """Return one channel of a case as a NIfTI file.

    That is the case's own file if it fits, else one written into `folder`.

    Args:
        case: whose image it is.
        channel: its number.
        folder: where a file may be written.

    Returns:
        The file.
    """
    single = all(read_header(p).shape[0] == 1 for p in case.images)
    if single and file_ending(case.images[channel]) in (".nii", ".nii.gz"):
        return case.images[channel].resolve()
    volume = read_volume(case.images)
    path = folder / "image.nii.gz"
    write(path, volume.array[channel : channel + 1], volume.affine)
    return path
