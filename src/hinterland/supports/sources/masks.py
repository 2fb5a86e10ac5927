"""Masks on disk as a source: multi-label files, or one file a structure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hinterland.data.dataset.files import files_in, read_json
from hinterland.data.io.files import file_stamp
from hinterland.data.io.volume import VolumeError, file_ending, read_header, read_label, stem
from hinterland.supports.sources.source import Licence, Support, of_integers, of_masks
from hinterland.supports.structures import Structure
from hinterland.types import Case, Dataset, HinterlandError

Kind = Literal["multi-label", "case folders", "structure folders"]


class MasksOnDisk:
    """A folder of masks, in one of three layouts, told apart by what is there.

    - `CASE.nii.gz`: one multi-label file a case; a dataset.json beside them names the integers,
      as `hinterland predict` and nnU-Net write it; otherwise the integers are the names;
    - `CASE/STRUCTURE.nii.gz`: one file a structure in a folder a case, as TotalSegmentator writes;
    - `STRUCTURE/CASE.nii.gz`: a folder a structure.

    A data set in nnU-Net's layout counts as the first, its labelsTr and labelsTs being the masks.
    Any format that is read elsewhere will do; masks of one structure are 0 and anything else.
    """

    licence: Licence | None = None
    default: tuple[str, ...] | None = ("all",)

    def __init__(self, folder: Path, cases: Sequence[str], *, allow_missing: bool = False) -> None:
        """Find the masks. allow_missing: a case without one keeps its background there.

        Raises:
            HinterlandError: no folder, or nothing in it that belongs to the cases.
        """
        self.folder, self.cases, self.allow_missing = Path(folder), tuple(cases), allow_missing
        if not self.folder.is_dir():
            raise HinterlandError(f"there is no folder {folder}; expected a folder of masks.")
        self.kind, self.files = self._find()

    def _find(self) -> tuple[Kind, dict[str, dict[str, Path]]]:
        """Return case -> structure ("" in multi-label files) -> file."""
        names = set(self.cases)
        inner = [self.folder / n for n in ("labelsTr", "labelsTs") if (self.folder / n).is_dir()]
        flat = {
            stem(p): {"": p}
            for folder in inner or [self.folder]
            for p in self._masks(folder)
            if stem(p) in names
        }
        if flat:
            return "multi-label", flat
        folders = sorted(p for p in self.folder.iterdir() if p.is_dir())
        files: dict[str, dict[str, Path]] = {}
        for folder in (f for f in folders if f.name in names):
            files[folder.name] = {stem(p): p for p in self._masks(folder)}
        if files:
            return "case folders", files
        for folder in folders:
            for path in self._masks(folder):
                if stem(path) in names:
                    files.setdefault(stem(path), {})[folder.name] = path
        if files:
            return "structure folders", files
        inside = ", ".join(sorted(p.name for p in self.folder.iterdir())[:4]) or "nothing"
        raise HinterlandError(
            f"{self.folder} holds no mask of these cases: it holds {inside}. Expected "
            f"{self.cases[0]}.nii.gz, {self.cases[0]}/STRUCTURE.nii.gz or "
            f"STRUCTURE/{self.cases[0]}.nii.gz."
        )

    @staticmethod
    def _masks(folder: Path) -> Iterator[Path]:
        return (p for p in files_in(folder) if file_ending(p))

    @cached_property
    def values(self) -> Mapping[str, tuple[int, ...]]:
        """Names of a multi-label folder -> integers."""
        beside = [self.folder.parent] if self.folder.name.startswith("labels") else []
        for folder in (self.folder, *beside):
            description = folder / "dataset.json"
            if description.is_file():
                return named_values(read_json(description), description)
        found: set[int] = set()
        for files in self.files.values():
            found.update(np.unique(read_label(files[""]).array).tolist())
        return {str(v): (v,) for v in sorted(found - {0})}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The structures of any case."""
        if self.kind == "multi-label":
            return tuple(self.values)
        return tuple(dict.fromkeys(n for files in self.files.values() for n in sorted(files)))

    def check(
        self, dataset: Dataset, cases: Sequence[Case], structures: Sequence[Structure]
    ) -> None:
        """Refuse cases without a file of every structure, unless missing ones are allowed."""
        if self.allow_missing:
            return
        for case in cases:
            missing = [n for s in structures for n in s.sources if self._file(case, n) is None]
            if missing:
                expected = {
                    "multi-label": f"{self._first.parent / case.name}.nii.gz",
                    "case folders": f"{self.folder / case.name / missing[0]}.nii.gz",
                    "structure folders": f"{self.folder / missing[0] / case.name}.nii.gz",
                }[self.kind]
                raise HinterlandError(
                    f"case {case.name} has no mask of {', '.join(missing[:4])}; expected a file "
                    f"such as {expected}. Add it, choose other --cases, or give --allow-missing: "
                    "nothing is then said about the structure in such a case."
                )

    @property
    def _first(self) -> Path:
        return next(file for files in self.files.values() for file in files.values())

    def _file(self, case: Case, name: str) -> Path | None:
        files = self.files.get(case.name, {})
        return files.get("" if self.kind == "multi-label" else name)

    def segment(self, case: Case, structures: Sequence[Structure]) -> Support:
        """Read the masks of one case. A structure made of several files needs all of them.

        Raises:
            HinterlandError: a file cannot be read.
        """
        try:
            return self._read(case, structures)
        except VolumeError as error:
            raise HinterlandError(f"case {case.name}: {error}") from error

    def _read(self, case: Case, structures: Sequence[Structure]) -> Support:
        if self.kind == "multi-label":
            path = self._file(case, "")
            if path is None:
                return _nothing(case)
            volume = read_label(path)
            return of_integers(volume.array[0], volume.affine, self.values, structures)
        first = next((f for s in structures for n in s.sources if (f := self._file(case, n))), None)
        if first is None:
            return _nothing(case)
        reference = read_label(first)
        masks = ((s, self._union(case, s, reference.shape, first)) for s in structures)
        return of_masks(reference.shape, reference.affine, masks)

    def _union(
        self, case: Case, structure: Structure, shape: tuple[int, ...], first: Path
    ) -> np.ndarray | None:
        files = [self._file(case, n) for n in structure.sources]
        result = np.zeros(shape, bool)
        for file in files:
            if file is None:
                return None
            mask = read_label(file).array[0] != 0
            if mask.shape != shape:
                raise HinterlandError(
                    f"case {case.name}: the masks {first.name} and {file.name} have the shapes "
                    f"{shape} and {mask.shape} (z, y, x); all masks of a case must lie on one grid."
                )
            result |= mask
        return result

    def stamp(self, case: Case) -> str:
        """Return the stamp of the mask files."""
        files = self.files.get(case.name, {})
        return " ".join(f"{name}:{file_stamp(path)}" for name, path in sorted(files.items()))

    def provenance(self) -> dict[str, Any]:
        """Tell where the masks were."""
        return {"kind": "masks", "path": str(self.folder.resolve()), "layout": self.kind}

    def close(self) -> None:
        """Do nothing: no file is open."""


def named_values(content: Mapping[str, Any], path: Path) -> dict[str, tuple[int, ...]]:
    """Return nnU-Net's `labels` without background and ignore.

    The result is name -> integers, of which regions have several.

    Raises:
        HinterlandError: there is no such key, or it holds something else.
    """
    labels = content.get("labels") if isinstance(content, Mapping) else None
    if not isinstance(labels, Mapping):
        raise HinterlandError(f"{path} has no key `labels`; expected name -> integer.")
    found: dict[str, tuple[int, ...]] = {}
    for name, value in labels.items():
        values = value if isinstance(value, list | tuple) else [value]
        if not all(isinstance(v, int) for v in values):
            raise HinterlandError(f"{path}: label {name!r} is {value!r}; expected integers.")
        if name not in ("background", "ignore") and set(values) != {0}:
            found[str(name)] = tuple(values)
    return found


def _nothing(case: Case) -> Support:
    """Return a support without any mask: nothing is said about any structure."""
    header = read_header(case.images[0])
    return Support(np.zeros(header.shape[1:], np.uint16), header.affine, frozenset(), {})
