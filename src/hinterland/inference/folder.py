"""From image files to label files: read, predict, write, three cases at a time."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from hinterland.data.dataset.decoded import described, folder_at, forget_decoded
from hinterland.data.dataset.files import read_json
from hinterland.data.io.files import write_text
from hinterland.data.io.journal import Journal
from hinterland.data.io.volume import (
    Header,
    file_ending,
    label_ending,
    probability_ending,
    read_volume,
    stem,
    write_label,
    write_probabilities,
)
from hinterland.data.preprocessing.geometry import Geometry
from hinterland.data.preprocessing.preprocess import normalised
from hinterland.data.preprocessing.resample import resample
from hinterland.inference.restore import restored_labels
from hinterland.inference.volumes import Decoding, Predictor
from hinterland.labels import Coarsening
from hinterland.types import HinterlandError, Plan

T = TypeVar("T")
R = TypeVar("R")


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
    broken: dict[str, str] | None = None,
) -> Iterator[Path]:
    """Predict image files into `out`, one label file a case.

    A dataset.json beside the files says what their integers mean. Coarser questions are decoded
    from the same tiles, summed by group, into folders of their own (`folder_at`). While one
    volume is predicted the next `workers` are read and preprocessed and the last is written, no
    more: memory is bounded by the largest cases. A case that cannot be read stops no other.

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
        broken: is filled with the name of each case that could not be read and what is wrong with
            it; None raises an error after all others are written.

    Yields:
        Each path as it is written.

    Raises:
        HinterlandError: a result exists and may not be overwritten, or two jobs have one name,
            before anything is computed; or a case could not be read, and `broken` is None.
    """
    writer = _Writer(journal or Journal(), overwrite)
    own = {out: Decoding(at, values)}
    asked = own | {folder_at(out, name): decoding for name, decoding in (also or {}).items()}
    jobs_of = [
        _Job(name, tuple(files), _files(asked, name, files, probabilities)) for name, files in jobs
    ]
    _refuse(jobs_of, writer)
    if overwrite:
        forget_decoded(out, keep=asked)
    for folder, decoding in asked.items():
        folder.mkdir(parents=True, exist_ok=True)
        _write_dataset_json(folder, decoding, [job.target for job in jobs_of], overwrite)
    done = [job for job in jobs_of if writer.journal.finished(*job.written)]
    yield from (job.target for job in done)
    todo = [job for job in jobs_of if job not in done]
    found: dict[str, str] = {}
    questions = [decoding.at for decoding in asked.values()]
    starts = accumulate((len(q) for q in questions[:-1]), initial=0)
    channels = [d.channels(first) for d, first in zip(asked.values(), starts, strict=True)]

    def results() -> Iterator[_Result]:
        loaded = _ahead(lambda job: _load(job, predictor.plan), todo, workers)
        for case, job in zip(loaded, todo, strict=True):
            if isinstance(case, HinterlandError):
                found[job.name] = str(case)
                continue
            header, image, geometry = case
            shape = (len(at), *geometry.original_shape)
            shares = np.empty(shape, np.float32) if probabilities else None
            try:
                slabs = predictor.slabs(image, *questions, case=job.name)
                labels = restored_labels(slabs, geometry, channels, shares)
            except HinterlandError as error:  # of the network: the file is sound
                found[job.name] = f"{job.target.name}: {error}"
                continue
            yield _Result(job, header, labels, shares)

    yield from _ahead(writer, results(), 0)
    if broken is not None:
        broken.update(found)
    elif found:
        raise unreadable(found, len(jobs), out)


def unreadable(broken: Mapping[str, str], cases: int, out: Path) -> HinterlandError:
    """Return the error that names all cases of a folder that could not be read.

    Args:
        broken: case -> what is wrong.
        cases: how many there are with the others.
        out: where those are.

    Returns:
        The error.
    """
    lines = [f"case {name}: {message}" for name, message in broken.items()]
    if cases == 1:
        return HinterlandError(lines[0])
    others = f"the other {cases - len(lines)} are in {out}" if cases > len(lines) else "none could"
    return HinterlandError(
        f"{len(lines)} of {cases} cases could not be predicted, {others}:\n" + "\n".join(lines)
        + "\nRepair them, and predict them by themselves into the same folder."
    )  # fmt: skip


class _Job(NamedTuple):
    """A case, and the files that are written of it: a label for each question, probabilities."""

    name: str
    files: tuple[Path, ...]
    written: tuple[Path, ...]

    @property
    def target(self) -> Path:
        return self.written[0]


class _Result(NamedTuple):
    job: _Job
    header: Header
    labels: Sequence[np.ndarray]
    probabilities: np.ndarray | None


@dataclass(frozen=True)
class _Writer:
    """Writes results under a journal, one at a time."""

    journal: Journal
    overwrite: bool

    def __call__(self, result: _Result) -> Path:
        job, header, labels, shares = result
        replaced = [self.overwrite or self.journal.ours(path) for path in job.written]
        self.journal.begin(*job.written)
        for path, label, ours in zip(job.written, labels, replaced, strict=False):
            write_label(path, label, like=header, overwrite=ours)
        if shares is not None:
            job.written[-1].parent.mkdir(exist_ok=True)
            write_probabilities(job.written[-1], shares, like=header, overwrite=replaced[-1])
        self.journal.finish(*job.written)
        return job.target


def _refuse(jobs: Sequence[_Job], writer: _Writer) -> None:
    twice = [t.name for t, n in Counter(job.target for job in jobs).items() if n > 1]
    if twice:
        raise HinterlandError(
            f"several inputs are the same case, whose result is {twice[0]}. Rename them, or "
            "predict them into different folders."
        )
    existing = [
        job.target
        for job in jobs
        if any(f.exists() and not writer.journal.ours(f) for f in job.written)
    ]
    if existing and not writer.overwrite:
        raise HinterlandError(
            f"{len(existing)} of {len(jobs)} predictions exist already, the first is "
            f"{existing[0]}. Give --overwrite to replace them, or another folder."
        )


def _files(
    folders: Iterable[Path], name: str, files: Sequence[Path], probabilities: bool
) -> tuple[Path, ...]:
    """Name what is written of a case: a label in each folder, and probabilities in the first's."""
    file = f"{name}{label_ending(file_ending(files[0]))}"
    labels = [folder / file for folder in folders]
    return (*labels, _beside(labels[0])) if probabilities else tuple(labels)


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


def _load(job: _Job, plan: Plan) -> tuple[Header, np.ndarray, Geometry] | HinterlandError:
    """Read and preprocess; what is wrong with the files is returned, not raised."""
    try:
        volume = read_volume(job.files)
        image, geometry = normalised(volume, plan)
    except HinterlandError as error:
        return error
    header = Header((len(volume.array), *volume.shape), volume.affine, volume.array.dtype)
    del volume  # a third of the memory
    image = resample(image, geometry.shape, geometry.spacing, geometry.target)
    return header, image, geometry


def _ahead(work: Callable[[T], R], items: Iterator[T] | Sequence[T], ahead: int) -> Iterator[R]:
    """Run `map(work, items)` in threads, in order.

    At most `ahead` results wait beside the one that is used; with 0, the last is worked on while
    the next item is made.
    """
    with ThreadPoolExecutor(max_workers=max(ahead, 1)) as pool:
        waiting: deque[Future[R]] = deque()
        for item in items:
            while len(waiting) > ahead:
                yield waiting.popleft().result()
            waiting.append(pool.submit(work, item))
        while waiting:
            yield waiting.popleft().result()
