"""nnInteractive as a source: a few clicks per structure, drawn from masks or read from a file."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hinterland.data.io.volume import read_header, read_volume
from hinterland.supports.grid import on_grid
from hinterland.supports.sources.clicks import Click, check_clicks, random_clicks, read_clicks
from hinterland.supports.sources.foreign import Worker, interpreter
from hinterland.supports.sources.licences import NNINTERACTIVE
from hinterland.supports.sources.masks import MasksOnDisk
from hinterland.supports.sources.source import Licence, Support, of_masks
from hinterland.supports.structures import Structure
from hinterland.types import Case, Dataset, HinterlandError


class ClicksFromMasks:
    """Random positive clicks inside each structure of a source of masks, `count` of them.

    The paper has 7 or 10. A structure whose mask is empty gets none, and counts as not there.
    """

    def __init__(self, masks: MasksOnDisk, count: int = 10, seed: int = 0) -> None:
        if count < 1:
            raise HinterlandError(f"--clicks {count}: expected at least one click a structure.")
        self.masks, self.count, self.seed = masks, count, seed

    @property
    def names(self) -> tuple[str, ...]:
        return self.masks.names

    def check(
        self, dataset: Dataset, cases: Sequence[Case], structures: Sequence[Structure]
    ) -> None:
        self.masks.check(dataset, cases, structures)

    def __call__(
        self, case: Case, structures: Sequence[Structure], shape: tuple[int, ...]
    ) -> dict[str, list[Click]]:
        """Return node -> clicks.

        A node that is missing here is not known; one with an empty list is not there.
        """
        masks = on_grid(self.masks.segment(case, structures), case)
        return {
            s.node: random_clicks(masks.index == i, self.count, self.seed, case.name, s.node)
            for i, s in enumerate(structures, start=1)
            if s.node in masks.provided
        }

    def stamp(self, case: Case) -> str:
        return self.masks.stamp(case)

    def provenance(self) -> dict[str, Any]:
        masks = self.masks.provenance()
        return {"clicks": "random", "count": self.count, "seed": self.seed, "masks": masks["path"]}


class ClicksFromFile:
    """Clicks of a CSV file; see `read_clicks`."""

    def __init__(self, path: Path) -> None:
        self.path, self.clicks = path, read_clicks(path)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(n for case in self.clicks.values() for n in case))

    def check(
        self, dataset: Dataset, cases: Sequence[Case], structures: Sequence[Structure]
    ) -> None:
        known = {c.name for c in dataset.cases}
        unknown = [name for name in self.clicks if name not in known]
        if unknown:
            raise HinterlandError(
                f"{self.path} has clicks for {unknown[0]!r}, which is no case of the data set."
            )
        for case in cases:
            shape = read_header(case.images[0]).shape[1:]
            check_clicks(self(case, structures, shape), shape, case.name)

    def __call__(
        self, case: Case, structures: Sequence[Structure], shape: tuple[int, ...]
    ) -> dict[str, list[Click]]:
        own = self.clicks.get(case.name, {})
        found = {s.node: [c for n in s.sources for c in own.get(n, [])] for s in structures}
        return {node: clicks for node, clicks in found.items() if clicks}

    def stamp(self, case: Case) -> str:
        return repr(self.clicks.get(case.name))

    def provenance(self) -> dict[str, Any]:
        return {"clicks": str(self.path.resolve())}


class NnInteractive:
    """`nnInteractiveInferenceSession`: one object at a time, a prediction after every click.

    clicks: where they come from. weights: the folder of a checkpoint; default: nnInteractive's own
    store, by the name `model` (default: the one it recommends).
    """

    default: tuple[str, ...] | None = ("all",)
    licence: Licence | None = NNINTERACTIVE

    def __init__(
        self,
        clicks: ClicksFromMasks | ClicksFromFile,
        *,
        weights: Path | None = None,
        model: str | None = None,
        channel: int = 0,
        device: str | None = None,
    ) -> None:
        self.clicks, self.model, self.channel, self.device = clicks, model, channel, device
        self.weights = None if weights is None else str(weights.resolve())
        self._prepared: Mapping[str, Any] = {}

    @cached_property
    def _worker(self) -> Worker:
        python = interpreter(
            "HINTERLAND_NNINTERACTIVE_PYTHON", "nnInteractive", "torch nnInteractive"
        )
        return Worker(python, "nninteractive")

    @cached_property
    def _version(self) -> str:
        return self._worker.ask("describe")["version"]

    @property
    def names(self) -> tuple[str, ...]:
        return self.clicks.names

    def check(
        self, dataset: Dataset, cases: Sequence[Case], structures: Sequence[Structure]
    ) -> None:
        if not 0 <= self.channel < len(dataset.channels):
            raise HinterlandError(
                f"--channel {self.channel}: the data set has the channels "
                f"{dict(enumerate(dataset.channels))}."
            )
        self.clicks.check(dataset, cases, structures)
        self._prepared = self._worker.ask(
            "prepare", weights=self.weights, model=self.model, wanted_device=self.device
        )

    def segment(self, case: Case, structures: Sequence[Structure]) -> Support:
        volume = read_volume(case.images)
        try:
            clicks = self.clicks(case, structures, volume.shape)
            masks = self._click(volume.array[self.channel], clicks)
        except HinterlandError as error:
            text = str(error)
            raise HinterlandError(
                text if text.startswith("case ") else f"case {case.name}: {text}"
            ) from None
        pairs = [(s, masks.get(s.node)) for s in structures]
        return of_masks(volume.shape, volume.affine, pairs)

    def _click(self, image: np.ndarray, clicks: Mapping[str, list[Click]]) -> dict[str, np.ndarray]:
        masks = {node: np.zeros(image.shape, bool) for node, points in clicks.items() if not points}
        wanted = {node: [list(c) for c in points] for node, points in clicks.items() if points}
        if not wanted:
            return masks
        with tempfile.TemporaryDirectory(prefix="hinterland-") as temporary:
            file, out = Path(temporary) / "image.npy", Path(temporary) / "masks.npz"
            np.save(file, image[None])  # as it is: nnInteractive normalises by itself
            found = self._worker.ask("segment", image=str(file), out=str(out), clicks=wanted)
            with np.load(out) as arrays:
                masks |= {node: arrays[f"arr_{i}"] for i, node in enumerate(found)}
        return masks

    def stamp(self, case: Case) -> str:
        """Return the stamp of the clicks."""
        return self.clicks.stamp(case)

    def provenance(self) -> dict[str, Any]:
        return {
            "kind": "nninteractive", "version": self._version, **self.clicks.provenance(),
            "channel": self.channel, **self._prepared,
        }  # fmt: skip

    def close(self) -> None:
        if "_worker" in vars(self):
            self._worker.close()
