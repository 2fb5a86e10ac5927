"""A run of ours as a source of support labels: the way that needs no foreign weights."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from hinterland.data.io.files import file_stamp
from hinterland.data.io.volume import read_volume
from hinterland.data.preprocessing.preprocess import preprocess
from hinterland.inference.volumes import Predictor
from hinterland.supports.sources.nnunet_model import NnUNetModel, is_nnunet_model
from hinterland.supports.sources.source import Licence, Source, Support, of_integers
from hinterland.supports.structures import Structure
from hinterland.training.runs.run import Run
from hinterland.types import Case, Dataset, HinterlandError

log = logging.getLogger(__name__)


def model_source(path: Path, *, device: str | None = None, mirror: bool | None = None) -> Source:
    """Open a model on disk, ours or nnU-Net's, as a source.

    Args:
        path: a run directory, or a folder that nnU-Net trained.
        device: "cpu", "cuda" or "mps"; None chooses.
        mirror: whether predictions of mirrored images are averaged; None is the model's own.

    Returns:
        The source.

    Raises:
        HinterlandError: it is neither.
    """
    if (path / "config.yaml").is_file():
        return OwnModel(path, device=device, mirror=mirror)
    if is_nnunet_model(path):
        return NnUNetModel(path, device=device, mirror=mirror is not False)
    raise HinterlandError(
        f"{path} is no model; expected a run directory (config.yaml, checkpoints/) or a folder "
        "that nnU-Net trained (plans.json, dataset.json, fold_0/)."
    )


class OwnModel:
    """A finished run: each cell that it tells apart, but for its background, is a structure.

    device: auto, cpu, cuda, mps; mirror: average over mirrored copies; None: as the run has it.
    """

    default: tuple[str, ...] | None = ("all",)
    licence: Licence | None = None

    def __init__(
        self, path: Path, *, device: str | None = None, mirror: bool | None = None
    ) -> None:

        self.run: Run = Run(path)
        self.device, self.mirror = device, mirror
        self._cells = self.run.method.cells

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the structures that the run segments."""
        return tuple(self._cells.names[i] for i in self._cells.foreground)

    def check(
        self, dataset: Dataset, cases: Sequence[Case], structures: Sequence[Structure]
    ) -> None:
        """Require the same channels; warn where the model has seen a case in training."""
        plan = self.run.record.plan
        if len(plan.channels) != len(dataset.channels):
            raise HinterlandError(
                f"the run takes {len(plan.channels)} channel(s) ({', '.join(plan.channels)}), the "
                f"data set has {len(dataset.channels)} ({', '.join(dataset.channels)})."
            )
        seen = [c.name for c in cases if c.name in self._seen(dataset)]
        if seen:
            log.warning(
                "the model was trained on %d of these %d cases (%s, ...): its labels are better "
                "there than they will be elsewhere",
                len(seen), len(cases), seen[0],
            )  # fmt: skip
        _ = self.predictor

    def _seen(self, dataset: Dataset) -> set[str]:
        """Return the names of the run's training cases if this is its data set, else none."""
        record = self.run.record
        same = Path(record.dataset["path"]).resolve() == dataset.root.resolve()
        return set(record.split["train"]) if same else set()

    @cached_property
    def predictor(self) -> Predictor:
        """The predictor of the checkpoint that the run reports."""
        return self.run.predictor(accelerator=self.device, mirror=self.mirror)

    def segment(self, case: Case, structures: Sequence[Structure]) -> Support:
        """Find the most probable cell of each voxel."""
        try:
            volume = read_volume(case.images)
            image, _, geometry = preprocess(volume, self.predictor.plan)
        except HinterlandError as error:
            raise HinterlandError(f"case {case.name}: {error}") from None
        index = self.predictor.labels(image, geometry, self._cells)
        values = {name: (i,) for i, name in enumerate(self._cells.names)}
        return of_integers(index, volume.affine, values, structures)

    def stamp(self, case: Case) -> str:
        """Return an empty text: nothing but the image counts."""
        return ""

    def provenance(self) -> dict[str, Any]:
        """Describe where the masks come from."""
        record = self.run.record
        return {
            "kind": "run",
            "path": str(self.run.path.resolve()),
            "checkpoint": self.run.reported,
            "weights": file_stamp(self.run.path / "checkpoints" / f"{self.run.reported}.ckpt"),
            "method": record.method,
            "dataset": record.dataset,
            "trained_on": record.split["train"],
            "versions": record.versions,
            "mirror": self.mirror,
        }

    def close(self) -> None:
        """Do nothing: no file is open."""
