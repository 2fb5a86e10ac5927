"""From image files to label files: preprocess, predict, undo the geometry, decode, write."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from hinterland.data.dataset.files import read_json
from hinterland.data.io.files import write_text
from hinterland.data.io.journal import Journal
from hinterland.data.io.volume import (
    Volume,
    file_ending,
    label_ending,
    probability_ending,
    read_volume,
    stem,
    write_label,
    write_probabilities,
)
from hinterland.data.preprocessing.geometry import Geometry
from hinterland.data.preprocessing.preprocess import preprocess
from hinterland.inference.restore import restored_labels
from hinterland.inference.slabs import Slab
from hinterland.inference.window import assembled, window_slabs
from hinterland.labels import Coarsening
from hinterland.types import HinterlandError, Plan

Model = Callable[[Tensor], Tensor]
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class WindowOptions:
    """How volumes are predicted; see `sliding_window`. `batch` counts tiles per forward pass."""

    mirror: tuple[int, ...] = ()
    overlap: float = 0.5
    batch: int = 1
    device: str = "cpu"
    precision: str = "fp32"


@dataclass(frozen=True)
class Predictor:
    """A trained model and what its channels mean.

    `model` maps (B, C, *patch) to probabilities over `cells`.
    """

    model: Model
    plan: Plan
    cells: Coarsening
    options: WindowOptions = field(default_factory=WindowOptions)

    def slabs(self, image: np.ndarray, at: Coarsening) -> Iterator[Slab]:
        """Predict a preprocessed image, slab by slab.

        Where the question is coarser than the model's cells, each tile's probabilities are summed
        to groups before tiles are averaged: cells are alive for a few tiles at a time, groups for
        a slab.

        Args:
            image: (C, z, y, x).
            at: the question.

        Returns:
            An iterator of log-probabilities of the groups of `at`; see `window_slabs`.
        """
        model = grouped(self.model, at.over(self.cells))
        return window_slabs(model, image, self.plan.patch_size, **vars(self.options))

    def log_probabilities(self, image: np.ndarray, at: Coarsening) -> np.ndarray:
        """Map a preprocessed image (C, z, y, x) to log-probabilities (groups of `at`, z, y, x)."""
        return assembled(self.slabs(image, at), image.shape[1:])

    def labels(self, image: np.ndarray, geometry: Geometry, at: Coarsening) -> np.ndarray:
        """Predict the most probable group for each voxel of the file.

        Args:
            image: preprocessed, (C, z, y, x).
            geometry: how it came from the file.
            at: the question.

        Returns:
            Indices of groups, uint8 (z, y, x).
        """
        indices = np.arange(len(at), dtype=np.uint8)
        return restored_labels(self.slabs(image, at), geometry, indices, at.background)


def grouped(model: Model, members: np.ndarray) -> Model:
    """Return a model of groups: it sums the probabilities of their cells.

    Args:
        model: (B, C, ...) -> probabilities (B, cells, ...).
        members: (groups, cells) bool.

    Returns:
        (B, C, ...) -> probabilities (B, groups, ...).
    """
    if np.array_equal(members, np.eye(len(members))):
        return model
    rows = [np.flatnonzero(row).tolist() for row in members]

    def answer(x: Tensor) -> Tensor:
        p = model(x)
        out = p.new_zeros((len(p), len(rows), *p.shape[2:]), dtype=torch.float32)
        for group, cells in enumerate(rows):
            for cell in cells:  # no copy of many channels
                out[:, group] += p[:, cell]
        return out

    return answer


def group_logs(logs: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Return the log of summed probabilities: (cells, ...) -> (groups, ...).

    `members` is (groups, cells) bool.
    """
    out = np.empty((len(members), *logs.shape[1:]), logs.dtype)
    for row, result in zip(members, out, strict=True):
        cells = np.flatnonzero(row)
        result[...] = logs[cells[0]]
        for cell in cells[1:]:
            np.logaddexp(result, logs[cell], out=result)
    return out


def predict_files(
    predictor: Predictor,
    jobs: Sequence[tuple[str, Sequence[Path]]],
    out: Path,
    at: Coarsening,
    values: Mapping[str, int],
    *,
    probabilities: bool = False,
    overwrite: bool = False,
    workers: int = 1,
    journal: Journal | None = None,
) -> Iterator[Path]:
    """Predict image files into `out`, one label file a case.

    A dataset.json beside the files says what their integers mean. While one volume is predicted the
    next `workers` are read and preprocessed, no more: memory is bounded by the largest cases.

    Args:
        predictor: the trained model.
        jobs: (case name, channel files).
        out: the folder to write into.
        at: the question whose groups are written.
        values: the integer written for each group of `at` (`group_values`).
        probabilities: write the probabilities of the groups, too.
        overwrite: replace results that are there.
        workers: volumes that are read ahead while one is predicted.
        journal: of a command that was stopped: what it has finished is not predicted again.

    Yields:
        Each path as it is written.

    Raises:
        HinterlandError: a result exists and may not be overwritten, or two jobs have one name,
            before anything is computed.
    """
    targets = [_target(out, name, files) for name, files in jobs]
    twice = [t.name for t, n in Counter(targets).items() if n > 1]
    if twice:
        raise HinterlandError(
            f"several inputs are the same case, whose result is {twice[0]}. Rename them, or "
            "predict them into different folders."
        )
    journal = journal or Journal()
    existing = [t for t in targets if t.exists() and not journal.ours(t)]
    if existing and not overwrite:
        raise HinterlandError(
            f"{len(existing)} of {len(targets)} predictions exist already, the first is "
            f"{existing[0]}. Give --overwrite to replace them, or another folder."
        )
    out.mkdir(parents=True, exist_ok=True)
    _write_dataset_json(out, values, targets, overwrite)
    lut = np.array([values[name] for name in at.names])
    lut = lut.astype(np.result_type(*(np.min_scalar_type(v) for v in lut)))
    files = {t: (t, _beside(t)) if probabilities else (t,) for t in targets}
    done = {t for t in targets if journal.finished(*files[t])}
    yield from (t for t in targets if t in done)
    todo = [(job, t) for job, t in zip(jobs, targets, strict=True) if t not in done]
    loaded = _prefetch(lambda item: _load(item[0], predictor.plan), todo, workers)
    for (volume, image, geometry), (_, target) in zip(loaded, todo, strict=True):
        shares = _shares(geometry, at) if probabilities else None
        label = restored_labels(predictor.slabs(image, at), geometry, lut, at.background, shares)
        replaced = overwrite or journal.ours(target)
        journal.begin(*files[target])
        write_label(target, label, like=volume, overwrite=replaced)
        if shares is not None:
            _beside(target).parent.mkdir(exist_ok=True)
            write_probabilities(_beside(target), shares, like=volume, overwrite=replaced)
        journal.finish(*files[target])
        yield target


def _shares(geometry: Geometry, at: Coarsening) -> np.ndarray:
    return np.empty((len(at), *geometry.original_shape), np.float32)


def _target(out: Path, name: str, files: Sequence[Path]) -> Path:
    return out / f"{name}{label_ending(file_ending(files[0]))}"


def _beside(target: Path) -> Path:
    ending = probability_ending(file_ending(target))
    return target.parent / "probabilities" / f"{stem(target)}{ending}"


def _write_dataset_json(
    out: Path, values: Mapping[str, int], targets: Sequence[Path], overwrite: bool
) -> None:
    """Say what the integers in a folder of segmentations mean, in nnU-Net's way.

    Raises:
        HinterlandError: The folder says something else already, and not `overwrite`.
    """
    file = out / "dataset.json"
    if file.is_file() and not overwrite:
        if (found := read_json(file).get("labels")) == dict(values):
            return
        raise HinterlandError(
            f"{file} says that the integers in this folder mean {found}, and these predictions "
            f"would be {dict(values)}. Choose another folder, or give --overwrite."
        )
    content = {
        "labels": dict(values),
        "file_ending": file_ending(targets[0]) if targets else ".nii.gz",
    }
    write_text(file, json.dumps(content, indent=2))


def _load(job: tuple[str, Sequence[Path]], plan: Plan) -> tuple[Volume, np.ndarray, Geometry]:
    name, files = job
    try:
        volume = read_volume(files)
        image, _, geometry = preprocess(volume, plan)
    except HinterlandError as error:
        raise HinterlandError(f"case {name}: {error}") from None
    return volume, image, geometry


def _prefetch(work: Callable[[T], R], items: Iterable[T], ahead: int) -> Iterator[R]:
    """Run `map(work, items)` in threads, in order, at most `ahead` results waiting."""
    with ThreadPoolExecutor(max_workers=max(ahead, 1)) as pool:
        waiting: list[Future[R]] = []
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > ahead:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()
