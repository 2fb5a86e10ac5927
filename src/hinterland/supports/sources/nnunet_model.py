"""A trained nnU-Net model as a source, by nnU-Net's own prediction in an environment of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from hinterland.data.dataset.files import read_json
from hinterland.data.io.files import file_stamp
from hinterland.data.io.volume import read_label
from hinterland.data.planning.nnunet import nnunet_interpreter
from hinterland.supports.sources.foreign import Worker
from hinterland.supports.sources.masks import named_values
from hinterland.supports.sources.source import Licence, Support, of_integers
from hinterland.supports.structures import Structure
from hinterland.types import Case, Dataset, HinterlandError


def is_nnunet_model(folder: Path) -> bool:
    """Tell whether it is a folder as nnU-Net trains it: plans.json, dataset.json, fold_*/."""
    return all((folder / n).is_file() for n in ("plans.json", "dataset.json")) and any(
        folder.glob("fold_*")
    )


class NnUNetModel:
    """TRAINER__PLANS__CONFIGURATION of nnUNet_results, all folds that are there (or `folds`).

    The weights' licence is what a file LICENSE in the folder says; without one they are taken for
    your own.
    """

    default: tuple[str, ...] | None = ("all",)

    def __init__(
        self,
        folder: Path,
        *,
        folds: Sequence[str] | None = None,
        checkpoint: str = "checkpoint_final.pth",
        device: str | None = None,
        mirror: bool = True,
    ) -> None:
        self.folder = folder.resolve()
        if not is_nnunet_model(self.folder):
            raise HinterlandError(
                f"{folder} is no nnU-Net model; expected a folder with plans.json, dataset.json "
                "and fold_0/, such as .../nnUNetTrainer__nnUNetPlans__3d_fullres."
            )
        found = sorted(p.name.removeprefix("fold_") for p in self.folder.glob("fold_*"))
        self.folds = list(folds or ([f for f in found if f != "all"] or found))
        self.checkpoint, self.device, self.mirror = checkpoint, device, mirror

    @cached_property
    def _worker(self) -> Worker:
        return Worker(nnunet_interpreter(), "nnunet")

    @cached_property
    def _description(self) -> dict[str, Any]:
        return read_json(self.folder / "dataset.json")

    @cached_property
    def _facts(self) -> dict[str, Any]:
        return self._worker.ask(
            "describe",
            model=str(self.folder),
            folds=self.folds,
            checkpoint=self.checkpoint,
            wanted_device=self.device,
            mirror=self.mirror,
        )

    @cached_property
    def values(self) -> dict[str, tuple[int, ...]]:
        """Structure -> integers in what the model writes."""
        return named_values(self._description, self.folder / "dataset.json")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.values)

    @property
    def licence(self) -> Licence | None:
        file = next((p for p in sorted(self.folder.glob("LICENSE*")) if p.is_file()), None)
        if file is None:
            return None
        lines = [t for t in file.read_text(encoding="utf-8", errors="replace").split("\n") if t]
        return Licence(lines[0].strip() if lines else "LICENSE", "Read it whole in:", str(file))

    def check(
        self, dataset: Dataset, cases: Sequence[Case], structures: Sequence[Structure]
    ) -> None:
        """Refuse models that take other channels than the data set has, or do not load."""
        wanted = self._description.get("channel_names") or self._description.get("modality") or {}
        if len(wanted) != len(dataset.channels):
            raise HinterlandError(
                f"the model takes {len(wanted)} channel(s) ({', '.join(map(str, wanted.values()))})"
                f", the data set has {len(dataset.channels)} ({', '.join(dataset.channels)})."
            )
        _ = self._facts

    def segment(self, case: Case, structures: Sequence[Structure]) -> Support:
        images = [str(p.resolve()) for p in case.images]
        with tempfile.TemporaryDirectory(prefix="hinterland-") as temporary:
            out = str(Path(temporary) / "segmentation")
            try:
                found = read_label(self._worker.ask("segment", images=images, out=out))
            except HinterlandError as error:
                raise HinterlandError(f"case {case.name}: {error}") from None
        return of_integers(found.array[0], found.affine, self.values, structures)

    def stamp(self, case: Case) -> str:
        """Return an empty text: nothing but the image counts."""
        return ""

    def provenance(self) -> dict[str, Any]:
        return {
            "kind": "nnunet", "version": self._facts["version"], "model": str(self.folder),
            "folds": self.folds, "checkpoint": self.checkpoint, "mirror": self.mirror,
            "weights": [
                file_stamp(self.folder / f"fold_{f}" / self.checkpoint) for f in self.folds
            ],
        }  # fmt: skip

    def close(self) -> None:
        if "_worker" in vars(self):
            self._worker.close()
