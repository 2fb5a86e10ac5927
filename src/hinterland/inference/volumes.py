"""From image files to label files: preprocess, predict, undo the geometry, decode, write."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from hinterland.data.dataset.decoded import described, folder_at, forget_decoded
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
from hinterland.inference.window import sliding_window
from hinterland.labels import Coarsening
from hinterland.types import HinterlandError, Plan

if TYPE_CHECKING:
    from torch import Tensor

Model = Callable[["Tensor"], "Tensor"]
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

    def log_probabilities(self, image: np.ndarray, at: Coarsening) -> np.ndarray:
        """Map a preprocessed image (C, z, y, x) to log-probabilities (groups of `at`, z, y, x)."""
        logs = sliding_window(self.model, image, self.plan.patch_size, **vars(self.options))
        return group_logs(logs, at.over(self.cells))

    def labels(self, image: np.ndarray, geometry: Geometry, at: Coarsening) -> np.ndarray:
        """Predict the most probable group for each voxel of the file.

        Args:
            image: preprocessed, (C, z, y, x).
            geometry: how it came from the file.
            at: the question.

        Returns:
            Indices of groups, uint8 (z, y, x).
        """
        logs = self.log_probabilities(image, at)
        return geometry.undo_argmax(logs, background=at.background).astype(np.uint8)


@dataclass(frozen=True)
class Decoding:
    """A question, and the integer that is written for each of its groups (`group_values`)."""

    at: Coarsening
    values: Mapping[str, int]

    @property
    def integers(self) -> np.ndarray:
        """The integer of each group; `write_label` takes the smallest type."""
        return np.array([self.values[name] for name in self.at.names])


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
    also: Mapping[str, Decoding] | None = None,
    probabilities: bool = False,
    overwrite: bool = False,
    workers: int = 1,
    journal: Journal | None = None,
) -> Iterator[Path]:
    """Predict image files into `out`, one label file a case.

    A dataset.json beside the files says what their integers mean. Coarser questions are decoded
    from the same probabilities, summed by group, into folders of their own (`folder_at`). While one
    volume is predicted the next `workers` are read and preprocessed, no more: memory is bounded by
    the largest cases.

    Args:
        predictor: the trained model.
        jobs: (case name, channel files).
        out: the folder to write into.
        at: the question whose groups are written.
        values: the integer written for each group of `at` (`group_values`).
        also: coarser questions than `at` that are decoded, too, by name.
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
    own = Decoding(at, values)
    coarser = {folder_at(out, name): decoding for name, decoding in (also or {}).items()}
    labels = {t: (t, *(folder / t.name for folder in coarser)) for t in targets}
    existing = [t for t in targets if any(f.exists() and not journal.ours(f) for f in labels[t])]
    if existing and not overwrite:
        raise HinterlandError(
            f"{len(existing)} of {len(targets)} predictions exist already, the first is "
            f"{existing[0]}. Give --overwrite to replace them, or another folder."
        )
    if overwrite:
        forget_decoded(out, keep=coarser)
    for folder, decoding in {out: own, **coarser}.items():
        folder.mkdir(parents=True, exist_ok=True)
        _write_dataset_json(folder, decoding, targets, overwrite)
    files = {t: (*labels[t], _beside(t)) if probabilities else labels[t] for t in targets}
    done = {t for t in targets if journal.finished(*files[t])}
    yield from (t for t in targets if t in done)
    todo = [(job, t) for job, t in zip(jobs, targets, strict=True) if t not in done]
    loaded = _prefetch(lambda item: _load(item[0], predictor.plan), todo, workers)
    for (volume, image, geometry), (_, target) in zip(loaded, todo, strict=True):
        logs = predictor.log_probabilities(image, at)
        if np.isnan(logs).any():
            raise HinterlandError(
                f"{target.name}: the model's output is not a number. If it is so for every image, "
                "its weights are spoilt: train again, with a smaller learning rate (--set "
                "optimiser.lr=...). Else look at the image's intensities."
            )
        replaced = overwrite or journal.ours(target)
        journal.begin(*files[target])
        index = geometry.undo_argmax(logs, background=at.background)
        write_label(target, own.integers[index], like=volume, overwrite=replaced)
        for folder, decoding in coarser.items():
            summed = group_logs(logs, decoding.at.over(at))
            index = geometry.undo_argmax(summed, background=decoding.at.background)
            array = decoding.integers[index]
            write_label(folder / target.name, array, like=volume, overwrite=replaced)
        if probabilities:
            _beside(target).parent.mkdir(exist_ok=True)
            restored = geometry.undo(np.exp(logs), background=at.background)
            restored /= restored.sum(axis=0, keepdims=True)
            write_probabilities(_beside(target), restored, like=volume, overwrite=replaced)
        journal.finish(*files[target])
        yield target


def _target(out: Path, name: str, files: Sequence[Path]) -> Path:
    return out / f"{name}{label_ending(file_ending(files[0]))}"


def _beside(target: Path) -> Path:
    ending = probability_ending(file_ending(target))
    return target.parent / "probabilities" / f"{stem(target)}{ending}"


def _write_dataset_json(
    out: Path, decoding: Decoding, targets: Sequence[Path], overwrite: bool
) -> None:
    """Say what the integers in a folder of segmentations mean, in nnU-Net's way.

    Raises:
        HinterlandError: The folder says something else already, and not `overwrite`.
    """
    file = out / "dataset.json"
    if file.is_file() and not overwrite:
        if (found := read_json(file).get("labels")) == dict(decoding.values):
            return
        raise HinterlandError(
            f"{file} says that the integers in this folder mean {found}, and these predictions "
            f"would be {dict(decoding.values)}. Choose another folder, or give --overwrite."
        )
    content = {
        "labels": dict(decoding.values),
        **described(decoding.at),
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
