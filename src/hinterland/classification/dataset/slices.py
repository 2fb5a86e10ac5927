"""Volumes as data sets of slices or blocks of slices, so that each is a case of its own.

A question of a slice ("does it show infection?") is then the same as one of an image, and one of a
patient joins the scores of the slices. Blocks give negatives where every whole scan is positive.
"""

from __future__ import annotations

import glob
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from hinterland.classification.dataset.relabel import claim_folder
from hinterland.data.io.csv_text import csv_text
from hinterland.data.io.files import write_text
from hinterland.data.io.formats import format_of
from hinterland.data.io.volume import Volume, read_label, read_volume
from hinterland.labels import CaseSettings
from hinterland.types import Case, Dataset, HinterlandError

MARK = "slices.json"
TABLE = "image_labels.csv"
ENDING = ".nii.gz"


@dataclass
class Slices:
    """The data set that was made, and the slices or blocks of each case, in order."""

    out: Path
    members: dict[str, list[str]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(map(len, self.members.values()))


def slice_dataset(
    dataset: Dataset,
    out: Path | str,
    *,
    thickness: int = 1,
    overwrite: bool = False,
    tick: Callable[[int, int], None] | None = None,
) -> Slices:
    """Write every slice (or block of slices) of every volume as a case of its own.

    They are called CASE_z004 by their first slice, keep the split, the scheme and the place in
    space, and their patient is that of the volume, so that no split divides it. The last block of a
    volume is left out where it is thinner than half the others. Free columns of the image labels
    hold for every slice; a class that is not in the volume is in no slice; of one that is, only the
    mask knows in which.

    Args:
        dataset: volumes, with or without masks.
        out: the folder to write, in nnU-Net's raw layout.
        thickness: slices in a block; 1 makes single slices.
        overwrite: replace `out` if it was made by this function.
        tick: called with (done, of how many).

    Returns:
        Where the data set is, and what is in it.

    Raises:
        HinterlandError: `thickness` is below 1, the cases are single slices already, or `out` is
            there already.
    """
    out = Path(out)
    if thickness < 1:
        raise HinterlandError(f"thickness {thickness}: expected 1 slice or more.")
    work = claim_folder(out, overwrite, MARK)
    for folder in ("imagesTr", "labelsTr"):
        (work / folder).mkdir()
    result = Slices(out)
    settings: dict[str, CaseSettings] = {}
    rows: list[dict[str, Any]] = []
    deepest = 0
    for done, case in enumerate(dataset.cases, start=1):
        volume = read_volume(case.images)
        label = None if case.label is None else read_label(case.label, case.images[0]).array
        depth = volume.array.shape[1]
        deepest = max(deepest, depth)
        result.members[case.name] = names = []
        for start in _starts(depth, thickness):
            name = f"{case.name}_z{start:03d}"
            _write(work, name, volume, label, slice(start, start + thickness))
            settings[glob.escape(name)] = CaseSettings(
                case.scheme, case.domain or None, case.group or case.name
            )
            rows.append({"case": name, **_image_labels(case, dataset)})
            names.append(name)
        if tick:
            tick(done, len(dataset.cases))
    if deepest <= thickness:
        shutil.rmtree(work)
        raise HinterlandError(
            f"{dataset.root}: no volume has more than {deepest} slice(s), and blocks of "
            f"{thickness} were asked for. Give volumes, or a smaller --thickness."
        )
    _write_texts(work, dataset, result.members, settings, pd.DataFrame(rows))
    record = {"data": str(dataset.root.resolve()), "thickness": thickness, **result.members}
    write_text(work / MARK, json.dumps(record, indent=1) + "\n")
    if out.exists():
        shutil.rmtree(out)
    work.rename(out)
    return result


def _starts(depth: int, thickness: int) -> list[int]:
    """Return the first slice of each block; the last block has at least half the thickness."""
    return [z for z in range(0, depth, thickness) if 2 * min(thickness, depth - z) >= thickness]


def _write(work: Path, name: str, volume: Volume, label: np.ndarray | None, part: slice) -> None:
    affine = np.array(volume.affine, float)
    affine[:3, 3] += affine[:3, 2] * part.start
    for channel, array in enumerate(volume.array):
        file = work / "imagesTr" / f"{name}_{channel:04d}{ENDING}"
        format_of(file).write(file, np.ascontiguousarray(array[None, part]), affine)
    if label is not None:
        file = work / "labelsTr" / f"{name}{ENDING}"
        format_of(file).write(file, np.ascontiguousarray(label[:, part]), affine)


def _image_labels(case: Case, dataset: Dataset) -> dict[str, Any]:
    """Return what the image labels of a volume say of each of its slices."""
    tree = dataset.labels.tree
    return {k: v for k, v in case.image_labels.items() if k not in tree or str(v) == "0"}


def _write_texts(
    work: Path,
    dataset: Dataset,
    members: Mapping[str, list[str]],
    settings: Mapping[str, CaseSettings],
    table: pd.DataFrame,
) -> None:
    written = len(table.columns) > 1
    if written:
        write_text(work / TABLE, csv_text(table.astype(object).where(table.notna(), "")))
    spec = replace(
        dataset.labels, cases=dict(settings), group_pattern=None,
        image_labels=TABLE if written else None,
    )  # fmt: skip
    content = yaml.safe_dump(spec.to_dict(), sort_keys=False, allow_unicode=True)
    write_text(work / "labels.yaml", content)
    description = {
        "channel_names": {str(i): name for i, name in enumerate(dataset.channels)},
        "labels": {},
        "numTraining": len(settings),
        "file_ending": ENDING,
    }
    write_text(work / "dataset.json", json.dumps(description, indent=1))
    parts = {
        part: [name for case in dataset.of(part) for name in members[case.name]]
        for part in ("train", "val", "test")
    }
    kept = {part: names for part, names in parts.items() if names or part == "train"}
    write_text(work / "splits.json", json.dumps(kept, indent=1))
