"""What planning needs to know of a data set: shapes, spacings, intensities, and a hash."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.orientations import aff2axcodes

from hinterland.data.io.files import dataset_hash, write_text
from hinterland.data.io.formats import is_flat
from hinterland.data.io.volume import read_header, read_label, read_volume
from hinterland.data.preprocessing.preprocess import check_spacing, nonzero_box
from hinterland.data.preprocessing.resample import Shape, Spacing
from hinterland.data.workers import map_cases
from hinterland.types import Case, Dataset, HinterlandError, Tick

SAMPLES = 4_000_000
"""Intensities kept of a whole data set and channel: the mean is then known to std / 2000."""


@dataclass(frozen=True)
class Intensity:
    """Statistics of one channel over the foreground voxels of the data set."""

    mean: float
    std: float
    median: float
    lowest: float
    highest: float
    percentile_00_5: float
    percentile_99_5: float


@dataclass(frozen=True)
class Fingerprint:
    """A data set as planning sees it.

    `shapes` (z, y, x) are those after cropping to the non-zero box, `spacings` (z, y, x) in mm, one
    of each per case. `kept` is the median share of voxels that cropping keeps. `spacing_known` is
    False where labels.yaml says so; the spacings are then without meaning. `hash` names the files'
    content. `orientations` are where the axes of the files point ("RAS"); pictures have none.
    """

    hash: str
    channels: tuple[str, ...]
    shapes: tuple[Shape, ...]
    spacings: tuple[Spacing, ...]
    intensities: tuple[Intensity, ...]
    kept: float
    spacing_known: bool = True
    orientations: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Serialise; `from_json` reads it back to an equal fingerprint."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Fingerprint:
        """Read what `to_json` wrote."""
        data: dict[str, Any] = json.loads(text)
        data["channels"] = tuple(data["channels"])
        data["shapes"] = tuple(tuple(s) for s in data["shapes"])
        data["spacings"] = tuple(tuple(s) for s in data["spacings"])
        data["orientations"] = tuple(data.get("orientations", ()))
        data["intensities"] = tuple(Intensity(**i) for i in data["intensities"])
        return cls(**data)


def stored_fingerprint(hash: str, folders: Sequence[Path]) -> Fingerprint | None:
    """Find the fingerprint of this hash among those kept in folders; None where there is none.

    A folder may be a cache (`fingerprint` keeps HASH.fingerprint.json there) or hold a
    fingerprint.json.
    """
    for folder in folders:
        for file in (folder / f"{hash}.fingerprint.json", folder / "fingerprint.json"):
            if file.is_file():
                found = Fingerprint.from_json(file.read_text(encoding="utf-8"))
                if found.hash == hash:
                    return found
    return None


def training_cases(dataset: Dataset) -> tuple[Case, ...]:
    """Return the cases a plan may look at: all that are not in the author's test split.

    Raises:
        HinterlandError: every case is a test case.
    """
    cases = tuple(c for c in dataset.cases if c.split != "test")
    if not cases:
        raise HinterlandError(
            f"{dataset.root}: no case to plan from: every case belongs to the test split. "
            "Correct splits.json, or put training images into imagesTr."
        )
    return cases


def fingerprint(
    dataset: Dataset,
    cases: Sequence[Case] | None = None,
    workers: int = 2,
    cache: Path | None = None,
    progress: Tick | None = None,
) -> Fingerprint:
    """Measure a data set, each case once.

    Foreground is where the label file is above zero;
    unlabelled cases give shape and spacing only, and if no case has a foreground, all non-zero
    voxels count. As many voxels are drawn of each case (with replacement, seeded).

    Args:
        dataset: the data set.
        cases: those that are measured; default, `training_cases(dataset)`.
        workers: processes that read files.
        cache: a folder where the result is kept under its hash and found again.
        progress: called with (done, of how many).

    Returns:
        Shapes in voxels, spacings in mm, and intensities of the foreground.

    Raises:
        HinterlandError: a case cannot be read or has not the data set's channels, or there is none.
    """
    chosen = tuple(cases) if cases is not None else training_cases(dataset)
    name = dataset_hash(dataset, chosen)
    stored = None if cache is None else cache / f"{name}.fingerprint.json"
    if stored is not None and stored.is_file():
        # the hash is of the files; what labels.yaml says of them may have changed since
        found = Fingerprint.from_json(stored.read_text())
        return replace(found, channels=dataset.channels, spacing_known=dataset.spacing_known)
    measure = partial(
        _measure, samples=max(1, SAMPLES // len(chosen)), in_mm=dataset.spacing_known,
        names=dataset.channels,
    )  # fmt: skip
    measured = map_cases(measure, chosen, [c.name for c in chosen], workers, progress)
    foreground = [m for m in measured if m.foreground]
    counted = foreground or measured
    result = Fingerprint(
        hash=name,
        channels=dataset.channels,
        shapes=tuple(m.shape for m in measured),
        spacings=tuple(m.spacing for m in measured),
        intensities=tuple(
            _summary(np.concatenate([m.samples[channel] for m in counted]))
            for channel in range(len(dataset.channels))
        ),
        kept=float(np.median([m.kept for m in measured])),
        spacing_known=dataset.spacing_known,
        orientations=tuple(sorted({m.orientation for m in measured} - {""})),
    )
    if stored is not None:
        try:
            write_text(stored, result.to_json())
        except HinterlandError as error:
            raise HinterlandError(
                f"{error} (Set HINTERLAND_CACHE to a folder that can be written to.)"
            ) from error
    return result


@dataclass(frozen=True)
class _Measured:
    shape: Shape
    spacing: Spacing
    kept: float
    samples: tuple[np.ndarray, ...]
    foreground: bool
    orientation: str


def _measure(case: Case, samples: int, in_mm: bool, names: Sequence[str]) -> _Measured:
    channels = sum(read_header(path).shape[0] for path in case.images)
    if channels != len(names):  # before the voxels of what may be hundreds of them are read
        raise HinterlandError(
            f"it has {channels} channels, the data set has {len(names)} ({', '.join(names)}). Give "
            "one file per channel, or correct channel_names in dataset.json."
        )
    volume = read_volume(case.images)
    if in_mm:
        check_spacing(volume.spacing)
    start, stop = nonzero_box(volume.array)
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    cropped = volume.array[(slice(None), *box)]
    mask = None
    if case.label is not None:
        label = read_label(case.label, case.images[0]).array[0]
        mask = label[box] > 0
    foreground = mask is not None and bool(mask.any())
    if mask is None or not foreground:
        mask = (cropped != 0).any(axis=0)
    rng = np.random.default_rng(1234)
    drawn = []
    for channel in cropped:
        values = channel[mask] if mask.any() else channel.reshape(-1)
        drawn.append(rng.choice(values, samples).astype(np.float32))
    z, y, x = cropped.shape[1:]
    # header noise in the seventh digit must not decide which axis is the coarsest
    sz, sy, sx = (round(float(s), 6) for s in volume.spacing)
    return _Measured(
        shape=(z, y, x),
        spacing=(sz, sy, sx),
        kept=float(np.prod(cropped.shape[1:]) / np.prod(volume.array.shape[1:])),
        samples=tuple(drawn),
        foreground=foreground,
        orientation="" if is_flat(case.images[0]) else "".join(aff2axcodes(volume.affine)),
    )


def _summary(values: np.ndarray) -> Intensity:
    low, median, high = (float(p) for p in np.percentile(values, (0.5, 50, 99.5)))
    return Intensity(
        mean=float(values.mean(dtype=np.float64)),
        std=float(values.std(dtype=np.float64)),
        median=median,
        lowest=float(values.min()),
        highest=float(values.max()),
        percentile_00_5=low,
        percentile_99_5=high,
    )
