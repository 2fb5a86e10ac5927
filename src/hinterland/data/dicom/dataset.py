"""Folders of DICOM as a data set: images, masks from outlines, and the labels.yaml between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hinterland.data.dicom.as_images import write_series
from hinterland.data.dicom.outlines import Outlines, find_outlines, mask_of
from hinterland.data.dicom.series import Series, find_series
from hinterland.data.integrity.problems import Problem
from hinterland.data.io.files import atomic_path, write_text
from hinterland.data.io.volume import write_label
from hinterland.types import HinterlandError, Tick


@dataclass(frozen=True)
class Imported:
    """What became a data set: image names, those with masks, and what was left out and why."""

    cases: tuple[str, ...]
    masked: tuple[str, ...]
    problems: tuple[Problem, ...]


def write_dataset(
    given: Path,
    out: Path,
    structures: Mapping[str, str],
    *,
    anonymous: bool = True,
    progress: Tick | None = None,
) -> Imported:
    """Write `out`/images, `out`/masks and `out`/labels.yaml, all of them or none.

    Series that make no volume, or cannot be read, are among the problems and stop no others.
    Where structures overlap, the one that is named first wins. A series without outlines becomes an
    unlabelled case; patients are kept together by labels.yaml.

    Args:
        given: The folder of DICOM files, whatever its order.
        out: The data set to make; it must not be there.
        structures: Pattern of a structure's name in RTSTRUCT files -> class.
        anonymous: See `find_series`.
        progress: Called with (series written, series).

    Returns:
        What was made.

    Raises:
        HinterlandError: No series can be read, `out` is there, or no structure has such a name.
    """
    if out.exists():
        raise HinterlandError(f"{out} exists already; nothing in it is touched. Choose another.")
    series, problems = find_series(given, anonymous=anonymous)
    outlines = _by_series(series, find_outlines(given))
    names = sorted({name for o in outlines.values() for name in o.contours})
    _refuse_unknown(names, structures)
    if not series:
        raise HinterlandError(
            f"{given} holds no series that makes a volume: "
            f"{' '.join(p.message for p in problems[:3]) or 'no DICOM image at all.'} Look with "
            f"hinterland check {given}."
        )
    classes = list(dict.fromkeys(structures.values()))
    made, masked = [], []
    with atomic_path(out) as folder:
        for done, one in enumerate(series, start=1):
            try:
                image = write_series(one, folder / "images" / f"{one.name}.nii.gz")
            except HinterlandError as error:
                problems.append(Problem("error", "dicom-voxels", one.name, str(error)))
                continue
            made.append(one)
            if structures and one.uid in outlines:
                mask = _merged(one, outlines[one.uid].contours, structures, classes)
                (folder / "masks").mkdir(exist_ok=True)
                write_label(folder / "masks" / image.name, mask, like=image)
                masked.append(one.name)
            if progress is not None:
                progress(done, len(series))
        if not made:
            raise HinterlandError(problems[-1].message)
        write_text(folder / "labels.yaml", _labels_yaml(made, classes, masked))
    return Imported(tuple(s.name for s in made), tuple(masked), tuple(problems))


def _by_series(series: Sequence[Series], found: Sequence[Outlines]) -> dict[str, Outlines]:
    """Return series number -> its outlines; of a lone series also those that name none."""
    uids = {s.uid for s in series}
    by_uid: dict[str, Outlines] = {}
    for outlines in found:
        uid = outlines.series or (next(iter(uids)) if len(uids) == 1 else "")
        if uid not in uids:
            continue
        if uid in by_uid:
            raise HinterlandError(
                f"{by_uid[uid].path} and {outlines.path} both hold outlines of one series. Keep "
                "one of them."
            )
        by_uid[uid] = outlines
    return by_uid


def _refuse_unknown(names: Sequence[str], structures: Mapping[str, str]) -> None:
    """Refuse patterns that no structure's name fits; and outlines that nobody asked for."""
    unknown = [p for p in structures if not any(fnmatchcase(n, p) for n in names)]
    if unknown or (names and not structures):
        listed = ", ".join(names) or "none that belong to an image"
        raise HinterlandError(
            f"--structures {', '.join(unknown) or '(not given)'}: the outlines here are: {listed}. "
            "Name the ones to take and their classes, as in --structures 'GTV*=tumour,Lung*=lung'."
        )


def _merged(
    series: Series,
    contours: Mapping[str, Sequence[np.ndarray]],
    structures: Mapping[str, str],
    classes: Sequence[str],
) -> np.ndarray:
    """Return one integer a voxel: 0, or 1, 2, ... in the order of the classes."""
    mask = np.zeros(series.shape, np.uint8)
    for pattern, name in structures.items():
        for structure, outlines in contours.items():
            if fnmatchcase(structure, pattern):
                inside = mask_of(series, outlines)
                mask[inside & (mask == 0)] = classes.index(name) + 1
    return mask


def _labels_yaml(series: Sequence[Series], classes: Sequence[str], masked: Sequence[str]) -> str:
    cases: dict[str, dict[str, Any]] = {
        s.name: {"group": s.group, **({} if s.name in masked else {"scheme": "none"})}
        for s in series
    }
    named = list(classes) or ["foreground"]
    content = {
        "tree": {"background": {}, **{name: {} for name in named}},
        "target": named,
        "schemes": {"full": dict(enumerate(["background", *named]))},
        "cases": cases,
    }
    return yaml.safe_dump(content, sort_keys=False)
