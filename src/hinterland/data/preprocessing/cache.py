"""Preprocessed cases on disk: made once, found again, memory-mapped when read.

A folder per data set and way of preprocessing holds, per case, `NAME.image.npy` (C, z, y, x)
float32, `NAME.label.npy` (z, y, x) int16 (the integers of the label file), `NAME.locations.npz`
and, written last, `NAME.json`. Each appears under its name only when it is complete.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from hinterland.data.io.files import atomic_path, file_stamp, sweep, write_text
from hinterland.data.io.volume import read_label, read_volume
from hinterland.data.preprocessing.geometry import Geometry
from hinterland.data.preprocessing.preprocess import label_locations, preprocess
from hinterland.data.workers import map_cases
from hinterland.types import Case, Dataset, HinterlandError, Plan, Tick

_VERSION = 1  # of the files; raise it when what they hold changes


@dataclass(frozen=True)
class PreparedCase:
    """One preprocessed case, read-only and memory-mapped.

    image (C, z, y, x) float32; label (z, y, x) int16 or None; locations: label integer -> voxels
    (n, 3) as (z, y, x), n at most 10,000; geometry: the way back to the file. values: all integers
    of the label file, also those that resampling or cropping has lost.
    """

    name: str
    image: np.ndarray
    label: np.ndarray | None
    locations: dict[int, np.ndarray]
    geometry: Geometry
    values: tuple[int, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """The prepared cases of a data set, by name. Small, picklable, opens files on access."""

    folder: Path
    labelled: dict[str, bool]

    def __getitem__(self, name: str) -> PreparedCase:
        """Open one case. KeyError if it was not prepared, HinterlandError if it is damaged."""
        labelled = self.labelled[name]
        paths = _Paths(self.folder, name)
        try:
            return self._read(name, paths, labelled)
        except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:  # also: pickles
            raise HinterlandError(
                f"the prepared case {name!r} in {self.folder} is damaged ({error}). Remove that "
                "folder: it is made anew from the data set."
            ) from None

    def _read(self, name: str, paths: _Paths, labelled: bool) -> PreparedCase:
        record = json.loads(paths.record.read_text())
        return PreparedCase(
            name=name,
            image=np.load(paths.image, mmap_mode="r"),
            label=np.load(paths.label, mmap_mode="r") if labelled else None,
            locations=_locations(paths.locations, record["label"]) if labelled else {},
            geometry=Geometry.from_dict(record["geometry"]),
            values=tuple(record["values"]) if labelled else (),
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self.labelled)

    def __len__(self) -> int:
        return len(self.labelled)

    def __contains__(self, name: object) -> bool:
        return name in self.labelled


def prepare(
    dataset: Dataset,
    plan: Plan,
    cache_dir: Path | None = None,
    workers: int = 2,
    cases: Sequence[Case] | None = None,
    progress: Tick | None = None,
) -> Prepared:
    """Preprocess every case that is not there yet or whose files changed.

    Nothing is written outside the cache. Stopped at any point, the next call goes on where it was.
    A case that is given without a label has none in the result, even if one was prepared before.

    Args:
        dataset: the data set.
        plan: what is preprocessed for.
        cache_dir: folder of the cache; default, `cache_root()`.
        workers: processes.
        cases: those that are prepared; default, all.
        progress: called with (done, of how many).

    Returns:
        Where the arrays lie.

    Raises:
        HinterlandError: a case cannot be read or its process dies, or the folder cannot be written
            to.
    """
    chosen = tuple(dataset.cases if cases is None else cases)
    folder = (cache_dir or cache_root()) / f"{plan.fingerprint}-{preprocessing_hash(plan)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HinterlandError(
            f"the cache folder {folder} cannot be made: {error.strerror}. Set HINTERLAND_CACHE to "
            "a folder that can be written to."
        ) from error
    sweep(folder)
    write_text(folder / "plan.json", plan.to_json())
    todo = [case for case in chosen if not _Paths(folder, case.name).fits(case)]
    work = partial(prepare_case, plan=plan, folder=folder)
    map_cases(work, todo, [case.name for case in todo], workers, progress)
    return Prepared(folder, {case.name: case.label is not None for case in chosen})


def prepare_case(case: Case, plan: Plan, folder: Path) -> None:
    """Write one case's files into `folder`, the image only if it is not there yet.

    Args:
        case: the files to read.
        plan: what is preprocessed for.
        folder: where the arrays go.

    Raises:
        HinterlandError: a file cannot be read, or label values do not fit 16 bits.
    """
    paths = _Paths(folder, case.name)
    record = paths.read(case)
    label, stamp, values = None, None, [0]
    if case.label is not None:
        stamp = file_stamp(case.label)
        label = read_label(case.label, case.images[0]).array[0]
        if label.min() < np.iinfo(np.int16).min or label.max() > np.iinfo(np.int16).max:
            raise HinterlandError(
                f"{case.label} has values from {label.min()} to {label.max()}; label values must "
                "fit 16 bits with a sign. Renumber them."
            )
        values = _values(label)
    if record is None:
        record = {"version": _VERSION, "image": _stamps(case.images), "label": None}
        image, label, geometry = preprocess(read_volume(case.images), plan, label)
        _save(paths.image, lambda file: np.save(file, image))
        record["geometry"] = geometry.to_dict()
    else:
        geometry = Geometry.from_dict(record["geometry"])
        if label is not None:
            label = geometry.apply_to_label(label)
    if label is not None:
        found = {str(v): at for v, at in label_locations(label, case.name).items()}
        _save(paths.label, lambda file: np.save(file, label))
        _save(paths.locations, lambda file: np.savez(file, **found))  # type: ignore[arg-type]
        record |= {"label": stamp, "values": values}
    write_text(paths.record, json.dumps(record))


def _values(label: np.ndarray) -> list[int]:
    """Return all integers of a label array whose values fit 16 bits, in rising order."""
    seen = np.zeros(2**16, bool)
    for plane in label:
        seen[plane.astype(np.int16).view(np.uint16)] = True
    return sorted(np.flatnonzero(seen).astype(np.uint16).view(np.int16).tolist())


def cache_root() -> Path:
    """Return the folder for what can be made again: HINTERLAND_CACHE, or ~/.cache/hinterland.

    Raises:
        HinterlandError: It cannot be made, or not be written to.
    """
    where = os.environ.get("HINTERLAND_CACHE")
    try:
        root = Path(where) if where else Path.home() / ".cache" / "hinterland"
        root.mkdir(parents=True, exist_ok=True)
        if not os.access(root, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except (OSError, RuntimeError) as error:  # without a home, `Path.home` raises RuntimeError
        place = where or "~/.cache/hinterland"
        raise HinterlandError(
            f"the cache folder {place} cannot be written to: "
            f"{getattr(error, 'strerror', None) or error}. Set HINTERLAND_CACHE to a folder that "
            "can be written to."
        ) from None
    return root


def preprocessing_hash(plan: Plan) -> str:
    """Return a hash of all settings that preprocessing depends on.

    Plans that differ in the patch or the network alone share it.
    """
    parts = (plan.channels, plan.normalisation, plan.spacing, plan.unit, plan.transpose, _VERSION)
    return hashlib.blake2b(repr(parts).encode(), digest_size=5).hexdigest()


@dataclass(frozen=True)
class _Paths:
    """Where the files of a case are, and whether they fit the case."""

    folder: Path
    name: str

    @property
    def image(self) -> Path:
        return self.folder / f"{self.name}.image.npy"

    @property
    def label(self) -> Path:
        return self.folder / f"{self.name}.label.npy"

    @property
    def locations(self) -> Path:
        return self.folder / f"{self.name}.locations.npz"

    @property
    def record(self) -> Path:
        return self.folder / f"{self.name}.json"

    def read(self, case: Case) -> dict[str, Any] | None:
        """Return what is recorded of a prepared image of this very file, else None."""
        if not (self.record.is_file() and self.image.is_file()):
            return None
        record: dict[str, Any] = json.loads(self.record.read_text())
        same = record["version"] == _VERSION and record["image"] == _stamps(case.images)
        return record if same else None

    def fits(self, case: Case) -> bool:
        """Tell whether nothing is left to do for this case."""
        record = self.read(case)
        if record is None or case.label is None:
            return record is not None
        there = self.label.is_file() and self.locations.is_file()
        return there and "values" in record and record["label"] == file_stamp(case.label)


def _stamps(paths: Sequence[Path]) -> str:
    return " ".join(file_stamp(path) for path in paths)


def _save(path: Path, write: Callable[[BinaryIO], None]) -> None:
    try:
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            write(file)
    except HinterlandError as error:
        raise HinterlandError(
            f"{error} Set HINTERLAND_CACHE to a folder with enough space."
        ) from error


@lru_cache(maxsize=128)
def _locations(path: Path, stamp: str) -> dict[int, np.ndarray]:
    """Load the stored locations of one case.

    The label file's stamp is part of the cache key, so that a newer file of the same name is read
    anew.
    """
    with np.load(path) as found:
        return {int(value): found[value] for value in found.files}
