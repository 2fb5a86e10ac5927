"""The series in a folder: volumes under names that do not tell whose they are."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np

from hinterland.data.dicom.files import dicom_files, library
from hinterland.data.dicom.geometry import NoStack, stacked
from hinterland.data.dicom.slices import APART, NoSlice, Slice, slices_of
from hinterland.data.integrity.problems import Problem
from hinterland.types import HinterlandError


@dataclass(frozen=True)
class Series:
    """One volume: its slices from the first to the last, and NIfTI's affine.

    Attributes:
        name: A file name; a hash of the series' number in the archive, unless names were asked for.
        group: Whose it is: a number of the patient in this folder, or the name.
    """

    name: str
    slices: tuple[Slice, ...]
    affine: np.ndarray = field(compare=False)
    group: str = ""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x)."""
        return (len(self.slices), *self.slices[0].shape)

    @property
    def uid(self) -> str:
        """The series' number in the archive."""
        return self.slices[0].series

    def __str__(self) -> str:
        z, y, x = self.shape
        spacing = np.linalg.norm(self.affine[:3, :3], axis=0)[::-1]
        size = " x ".join(f"{s:.3g}" for s in spacing)
        return f"{self.name}: {self.slices[0].modality}, {z} x {y} x {x} voxels of {size} mm"


def find_series(
    given: Path | Sequence[Path], *, anonymous: bool = True
) -> tuple[list[Series], list[Problem]]:
    """Find all volumes in folders of DICOM files.

    Files are sorted by what their headers say, wherever they lie. Images of one series that differ
    in size, direction or, at one place, in echo, time or weighting are volumes of their own.

    Args:
        given: Folders (with all folders below them), or files.
        anonymous: Whether names are made from hashes and numbers; else from the patient's ID.

    Returns:
        The volumes, by name, and what is wrong: files without an image (notes), images without a
        place (warnings), series that make no volume (errors).

    Raises:
        HinterlandError: There are such files, and pydicom is not installed.
    """
    paths = [given] if isinstance(given, Path) else list(given)
    files = list(dict.fromkeys(f for path in paths for f in dicom_files(path)))
    if files:
        library()
    slices: list[Slice] = []
    problems: list[Problem] = []
    other = 0
    for file in files:
        try:
            found = slices_of(file)
        except HinterlandError as error:
            problems.append(Problem("error", "dicom-unreadable", file.name, str(error)))
            continue
        except NoSlice as error:
            message = f"{file} is left out: {error}. Remove it, or export it again."
            problems.append(Problem("warning", "dicom-no-slice", "", message))
            continue
        slices += found
        other += not found
    if other:
        problems.append(
            Problem("note", "dicom-no-image", "",
                    f"{other} of {len(files)} DICOM file(s) hold no image (reports, outlines, "
                    "plans), and are left out. There is nothing to do.")
        )  # fmt: skip
    patients = _patients(slices, anonymous)
    volumes = []
    for name, own in _volumes(slices, anonymous):
        try:
            ordered, affine = stacked(own)
        except NoStack as error:
            problems.append(Problem("error", error.code, name, str(error)))
            continue
        volumes.append(Series(name, tuple(ordered), affine, patients[own[0].patient]))
    return sorted(volumes, key=lambda s: s.name), problems


def _volumes(slices: Sequence[Slice], anonymous: bool) -> Iterator[tuple[str, list[Slice]]]:
    """Give the slices of each volume under its name."""
    by_series: dict[str, list[Slice]] = defaultdict(list)
    for one in slices:
        by_series[one.series].append(one)
    taken: set[str] = set()
    for uid, own in by_series.items():
        parts = [part for kind in _alike(own) for part in _apart(kind)]
        names = _free_names(_name(uid, own[0], anonymous), len(parts), taken)
        yield from zip(names, parts, strict=True)


def _free_names(name: str, parts: int, taken: set[str]) -> list[str]:
    """Name the parts of a series as no other is named, on disks that ignore case neither."""
    for number in count(1):
        base = name if number == 1 else f"{name}-series{number}"
        names = [base] if parts == 1 else [f"{base}-{n}" for n in range(1, parts + 1)]
        folded = {each.casefold() for each in names}
        if not folded & taken:
            taken |= folded
            return names
    raise AssertionError("unreachable")


def _alike(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Divide slices by size and direction: a localiser has three directions in one series.

    They are compared and not rounded: headers differ in their last digits within a series, and
    where those lie about a border of rounding, it would fall into two.
    """
    kinds: list[list[Slice]] = []
    for one in slices:
        for kind in kinds:
            if _same_plane(kind[0], one):
                kind.append(one)
                break
        else:
            kinds.append([one])
    return kinds


def _same_plane(one: Slice, other: Slice) -> bool:
    def near(a: Sequence[float], b: Sequence[float], most: float) -> bool:
        return all(abs(x - y) <= most for x, y in zip(a, b, strict=True))

    return (
        one.shape == other.shape
        and near(one.orientation, other.orientation, 1e-3)
        and near(one.spacing, other.spacing, 1e-4)
    )


def _apart(slices: list[Slice]) -> list[list[Slice]]:
    """Divide slices of which several lie at one place, by the first attribute that does it."""
    if _places(slices) == len(slices):
        return [slices]
    for index in range(len(APART)):
        kinds: dict[str, list[Slice]] = defaultdict(list)
        for one in slices:
            kinds[one.apart[index]].append(one)
        if len(kinds) > 1 and all(_places(kind) == len(kind) for kind in kinds.values()):
            return [kinds[key] for key in sorted(kinds)]
    return [slices]


def _places(slices: Sequence[Slice]) -> int:
    return len({tuple(np.round(one.position, 3)) for one in slices})


def _name(uid: str, one: Slice, anonymous: bool) -> str:
    if anonymous:
        return f"series-{hashlib.blake2b(uid.encode(), digest_size=5).hexdigest()}"
    return _plain(one.patient) or "unnamed"


def _patients(slices: Sequence[Slice], anonymous: bool) -> dict[str, str]:
    """Return what each patient is called: numbers, in the order of hashes of their series."""
    known: dict[str, str] = {}
    for one in slices:
        digest = hashlib.blake2b(one.series.encode(), digest_size=8).hexdigest()
        known[one.patient] = min(digest, known.get(one.patient, digest))
    order = sorted(known, key=lambda patient: known[patient])
    if not anonymous:
        return {patient: _plain(patient) or "unnamed" for patient in order}
    return {patient: f"patient{n:03d}" for n, patient in enumerate(order, start=1)}


def _plain(text: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in text).split())
