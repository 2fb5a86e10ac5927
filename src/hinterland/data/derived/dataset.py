"""Data sets made from others: pooled, resized or changed copies in nnU-Net's raw layout."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hinterland.data.dataset.read import read_dataset
from hinterland.data.io.files import atomic_path, write_text
from hinterland.data.io.formats import format_of, is_flat
from hinterland.data.io.volume import Volume, read_label, read_volume
from hinterland.labels import LabelSpec, Scheme
from hinterland.labels.parsing import CaseSettings
from hinterland.types import Case, Dataset, HinterlandError, Tick

Change = Callable[[str, np.ndarray], np.ndarray]
"""(name of the case, (C, z, y, x) in [0, 1]) -> the same shape in [0, 1]."""
RECORD = "source.json"


@dataclass(frozen=True)
class Member:
    """A labelled case, and what it is in the new data set."""

    case: Case
    name: str
    split: str
    domain: str = ""
    scheme: str = ""


def pool(
    base: Dataset, novel: Dataset, domains: tuple[str, str] = ("base", "novel")
) -> tuple[list[Member], LabelSpec]:
    """Return the labelled cases of two data sets as members of one, and its labels.

    Cases are called DOMAIN-NAME and keep their split (one without stays without). The target is
    base's.

    Args:
        base: the data set whose target counts.
        novel: the other one.
        domains: what the two are called.

    Returns:
        The members, and the labels they share.

    Raises:
        HinterlandError: the label trees or the channels differ.
    """
    if base.labels.tree != novel.labels.tree:
        raise HinterlandError(
            f"the label trees differ: {base.root} has {base.labels.tree}, {novel.root} has "
            f"{novel.labels.tree}. Give both a labels.yaml with the same tree (schemes may differ)."
        )
    if len(base.channels) != len(novel.channels):
        raise HinterlandError(
            f"{base.root} has {len(base.channels)} channel(s), {novel.root} has "
            f"{len(novel.channels)}. Expected the same channels in both."
        )
    spec = replace(base.labels, cases={}, group_pattern=None, image_labels=None)
    schemes = dict(spec.schemes)
    members: list[Member] = []
    for dataset, domain in ((base, domains[0]), (novel, domains[1])):
        names = {}
        for name, scheme in dataset.labels.schemes.items():
            same = name in schemes and schemes[name].values == scheme.values
            names[name] = name if same else f"{domain}-{name}"
            schemes[names[name]] = Scheme(names[name], spec.tree, scheme.values)
        members += [
            Member(c, f"{domain}-{c.name}", c.split or "", domain, names[c.scheme])
            for c in dataset.cases
            if c.labelled
        ]
    if not (base.spacing_known and novel.spacing_known):
        spec = replace(spec, spacing_known=False)
    return members, replace(spec, schemes=schemes)


def write_derived(
    out: Path,
    members: Sequence[Member],
    spec: LabelSpec,
    channels: Sequence[str],
    *,
    change: Change | None = None,
    size: tuple[int, int] | None = None,
    why: Mapping[str, Any] | None = None,
    progress: Tick | None = None,
) -> Dataset:
    """Write the members into `out` and read them back as a data set.

    8-bit pictures become PNG files, all else NIfTI, one a channel. Written under a temporary name
    and
    renamed. If `out` holds this very data set it is read only.

    Args:
        out: the folder to write.
        members: the cases.
        spec: what their labels mean.
        channels: names of the channels.
        change: see `Change`; volumes go through [0, 1] by their lowest and highest value.
        size: (rows, columns) to resize pictures to.
        why: what tells this data set from another with the same members.
        progress: called with (done, of how many).

    Returns:
        The new data set.

    Raises:
        HinterlandError: `out` holds another data set, or `size` is given for volumes.
    """
    record = json.loads(
        json.dumps(
            {"members": [[str(m.case.images[0].resolve()), m.name, m.split] for m in members],
             "size": size, "why": dict(why or {})}
        )
    )  # fmt: skip
    if out.exists():
        file = out / RECORD
        if not file.is_file() or json.loads(file.read_text(encoding="utf-8")) != record:
            raise HinterlandError(f"{out} holds something else. Choose another folder.")
        return read_dataset(out)
    pictures = all(is_flat(p) for m in members for p in m.case.images)
    if size is not None and not pictures:
        raise HinterlandError(
            "resizing is for 2D pictures; volumes are brought to one spacing by the plan."
            " Leave the size away."
        )
    try:
        with atomic_path(out) as temporary:
            for folder in ("imagesTr", "labelsTr"):
                (temporary / folder).mkdir(parents=True)
            ending = ".png" if pictures else ".nii.gz"
            for done, member in enumerate(members, start=1):
                _write_case(temporary, member, ending, change, size)
                if progress:
                    progress(done, len(members))
            _write_texts(temporary, members, spec, channels, ending)
            write_text(temporary / RECORD, json.dumps(record))
    except HinterlandError:
        if not (out / RECORD).is_file():  # else another process has made it meanwhile
            raise
    return read_dataset(out)


def _write_case(
    folder: Path, member: Member, ending: str, change: Change | None, size: tuple[int, int] | None
) -> None:
    assert member.case.label is not None
    volume = read_volume(member.case.images)
    label = read_label(member.case.label, member.case.images[0]).array
    array = volume.array
    if change is not None:
        array = _changed(volume, member.name, change)
    if size is not None:
        array = np.stack([resized(c[0], size, labels=False)[None] for c in array])
        label = np.stack([resized(c[0], size, labels=True)[None] for c in label])
    files = [folder / "imagesTr" / f"{member.name}_{i:04d}{ending}" for i in range(len(array))]
    for channel, file in zip(array, files, strict=True):
        format_of(file).write(file, np.ascontiguousarray(channel[None]), volume.affine)
    file = folder / "labelsTr" / f"{member.name}{ending}"
    format_of(file).write(file, np.ascontiguousarray(label), volume.affine)


def _changed(volume: Volume, name: str, change: Change) -> np.ndarray:
    array = volume.array.astype(np.float32)
    if volume.array.dtype == np.uint8:
        return np.rint(np.clip(change(name, array / 255), 0, 1) * 255).astype(np.uint8)
    low, high = float(array.min()), float(array.max())
    width = max(high - low, 1e-6)
    return (change(name, (array - low) / width) * width + low).astype(np.float32)


def resized(picture: np.ndarray, size: tuple[int, int], *, labels: bool) -> np.ndarray:
    """Resize a picture.

    Intensities are averaged over the area that a pixel covers; labels take the nearest neighbour.

    Args:
        picture: (y, x).
        size: rows and columns.
        labels: whether the values are class numbers.

    Returns:
        The picture (rows, columns).
    """
    from PIL import Image

    rows, columns = size
    way = Image.Resampling.NEAREST if labels else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(picture).resize((columns, rows), way))


def _write_texts(
    folder: Path, members: Sequence[Member], spec: LabelSpec, channels: Sequence[str], ending: str
) -> None:
    cases = {
        m.name: CaseSettings(
            scheme=m.scheme or m.case.scheme,
            domain=m.domain or m.case.domain or None,
            group=f"{m.domain}-{m.case.group}" if m.domain else m.case.group or None,
        )
        for m in members
    }
    labels = replace(spec, cases=cases, group_pattern=None, image_labels=None)
    write_text(folder / "labels.yaml", yaml.safe_dump(labels.to_dict(), sort_keys=False))
    content = {
        "channel_names": {str(i): name for i, name in enumerate(channels)},
        "labels": {},
        "numTraining": len(members),
        "file_ending": ending,
    }
    write_text(folder / "dataset.json", json.dumps(content, indent=1))
    splits = {part: _of(members, part) for part in ("train", "val", "test")}
    splits = {part: names for part, names in splits.items() if names or part == "train"}
    write_text(folder / "splits.json", json.dumps(splits, indent=1))


def _of(members: Iterable[Member], split: str) -> list[str]:
    return [m.name for m in members if m.split == split]
